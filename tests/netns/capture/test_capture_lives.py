"""Deaths, restarts, strangers' programs and removal."""
import json
import os
import pathlib
import subprocess
import threading
import time

import pytest
from capture_node import HBONE, OUTBOUND, PLAINTEXT

VIP = "10.77.0.5"
ALIASES = [dict(id=5, address=VIP)]


@pytest.fixture
def mesh(node):
    node.open()
    node.apply([node.a.spec(strict=True)], ALIASES)
    return node


def outbound(node):
    [listener] = [each for each in node.do("listeners") if each["role"] == OUTBOUND and not each["ipv6"]]
    return listener


def bpftool(*command):
    return subprocess.run(["bpftool", *command], check=True, capture_output=True, text=True).stdout


# ---------------------------------------------------------------- restarts


def test_connections_wait_in_the_backlog_while_nobody_accepts(mesh):
    mesh.a(f"held = [dial(('{VIP}', 443)) for _ in range(50)]")
    assert {mesh.do("accept", uid="a", role=OUTBOUND)["local"] for _ in range(50)} == {"127.128.0.5:443"}


def test_a_second_agent_takes_over_without_one_connection_going_astray(mesh):
    """The first driver keeps the listeners, as a proxy would; agents come and go while pod a connects all the time."""
    stop, outcomes = threading.Event(), []

    def connect_all_the_time():
        while not stop.is_set():
            peer = mesh.a(f"c = dial(('{VIP}', 443)); c.getpeername()")
            accepted = mesh.do("accept", uid="a", role=OUTBOUND)
            mesh.do("close", fd=accepted["fd"])
            outcomes.append([peer, accepted["local"]])

    connecting = threading.Thread(target=connect_all_the_time)
    connecting.start()
    try:
        for _ in range(5):
            agent = mesh.new_driver()
            agent.ask(dict(cmd="open", **mesh.options))
            report = agent.ask(dict(cmd="apply", pods=[mesh.a.spec(strict=True)], aliases=ALIASES))
            assert report["failed"] == {}
            agent.kill()
            assert connecting.is_alive()
    finally:
        stop.set()
        connecting.join()
    assert len(outcomes) > 100
    assert all(outcome == [[VIP, 443], "127.128.0.5:443"] for outcome in outcomes)


def test_a_restarted_agent_adopts_the_listeners_and_knows_a_forged_one(mesh):
    known, holder = outbound(mesh), mesh.driver
    mesh.driver = mesh.new_driver()
    mesh.open()
    mesh.apply([mesh.a.spec(strict=True)], ALIASES)
    assert outbound(mesh) == known | dict(fd=-1)
    hbone = [each for each in holder.ask(dict(cmd="listeners")) if each["role"] == HBONE][0]
    with pytest.raises(RuntimeError, match="not that socket"):
        mesh.do("adopt", pid=holder.process.pid, **known | dict(fd=hbone["fd"]))
    mesh.do("adopt", pid=holder.process.pid, **known)
    holder.kill()
    mesh.a(f"c = dial(('{VIP}', 443))")
    assert mesh.do("accept", uid="a", role=OUTBOUND)["local"] == "127.128.0.5:443"


def test_listeners_that_nobody_gives_back_are_made_anew_with_a_new_epoch(mesh):
    before = outbound(mesh)["epoch"]
    mesh.driver.kill()
    mesh.driver = mesh.new_driver()
    mesh.open()
    mesh.apply([mesh.a.spec(strict=True)], ALIASES)
    assert len(mesh.do("rebuild_missing")) == 6
    assert outbound(mesh)["epoch"] == before + 1
    mesh.a(f"c = dial(('{VIP}', 443))")
    mesh.do("accept", uid="a", role=OUTBOUND)


def test_a_strict_pod_stays_closed_when_agent_and_proxy_are_dead(mesh):
    mesh.a("l = serve(('0.0.0.0', 8080))")
    mesh.driver.kill()
    assert mesh.a(f"tried(('{VIP}', 443))") == "EPERM"
    assert mesh.stranger(f"tried(('{mesh.a.v4}', 8080))") == "ECONNREFUSED"
    assert mesh.stranger(f"tried(('{mesh.a.v4}', 15008))") == "ECONNREFUSED"


# What `ss -K` sends, but for the socket that answers at an alias on loopback: asked for by its own address, the inbound program hides it.
KILL = """
def kill(address, port):
    n = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4)
    ends = struct.pack('!HH', port, 1) + socket.inet_aton(address).ljust(16, bytes(1)) + socket.inet_aton('127.0.0.1').ljust(16, bytes(1))
    body = struct.pack('=BBBBI', socket.AF_INET, socket.IPPROTO_TCP, 0, 0, 0xfff) + ends + struct.pack('=III', 1, 0xffffffff, 0xffffffff)
    n.send(struct.pack('=IHHII', 16 + len(body), 21, 5, 1, 0) + body)
    return struct.unpack_from('=i', n.recv(4096), 16)[0]
"""


def test_a_listener_killed_by_the_pod_fails_closed_and_is_made_anew(mesh):
    killed = outbound(mesh)
    mesh.a(KILL)
    assert mesh.a("kill('127.128.0.5', 443)") == 0
    assert mesh.a(f"tried(('{VIP}', 443))") == "EPERM"
    rebuilt = mesh.do("rebuild", **killed)
    assert rebuilt["epoch"] == killed["epoch"] + 1
    assert mesh.do("rebuild", **killed) == rebuilt  # told twice, made once
    mesh.a(f"c = dial(('{VIP}', 443))")
    mesh.do("accept", uid="a", role=OUTBOUND)


def test_a_sandbox_made_anew_under_the_same_uid_is_captured_anew(node):
    node.open()
    guest = node.wired("guest", 5)
    node.apply([guest.spec()], ALIASES)
    name = os.path.basename(guest.netns)
    subprocess.run(["ip", "netns", "del", name], check=True)
    subprocess.run(["ip", "netns", "add", name], check=True)
    guest.ip("link", "set", "lo", "up")
    node.apply([guest.spec()], ALIASES)
    guest(f"c = dial(('{VIP}', 443))")
    assert node.do("accept", uid="guest", role=OUTBOUND)["local"] == "127.128.0.5:443"
    assert [each["epoch"] for each in node.do("listeners")] == [2] * 6
    guest.shell.kill()
    node.places.remove(guest)
    subprocess.run(["ip", "netns", "del", name], check=True)
    node.apply([], ALIASES)
    assert node.do("fills")["namespaces"] == 0
    os.rmdir(guest.cgroup)


def test_a_strict_pod_whose_addresses_are_edited_is_at_no_moment_without_its_inbound_program(mesh):
    """It is captured anew, under one link, and no plaintext that comes meanwhile reaches the application."""
    mesh.a("l = serve(('0.0.0.0', 8080))")
    link = inbound_link(mesh, mesh.a)
    stop, outcomes = threading.Event(), []

    def connect_all_the_time():
        while not stop.is_set():
            outcomes.append(mesh.stranger(f"tried(('{mesh.a.v4}', 8080))"))

    connecting = threading.Thread(target=connect_all_the_time)
    connecting.start()
    try:
        for number in range(20):
            addresses = [mesh.a.v4] if number % 2 == 0 else [mesh.a.v4, mesh.a.v6]
            mesh.apply([mesh.a.spec(strict=True) | dict(addresses=addresses)], ALIASES)
            assert inbound_link(mesh, mesh.a) == link
    finally:
        stop.set()
        connecting.join()
    assert len(outcomes) > 50
    assert mesh.a("select.select([l], [], [], 0)[0] == []")


def inbound_link(node, place):
    return json.loads(bpftool("-j", "link", "show", "pinned", str(node.folder / f"leat/links/lookup_{place.number}")))["id"]


def test_one_bad_pod_is_reported_and_the_others_are_captured(mesh):
    report = mesh.do("apply", aliases=ALIASES, pods=[
        mesh.a.spec(), dict(uid="gone", index=7, addresses=["10.99.0.7"], netns="/run/netns/there-is-no-such"),
        dict(uid="host", index=8, addresses=["10.99.0.8"], netns=mesh.host.netns), mesh.b.spec() | dict(index=mesh.a.number)])
    assert set(report["failed"]) == {"gone", "host", "b"}
    assert "node's own network namespace" in report["failed"]["host"]
    mesh.a(f"c = dial(('{VIP}', 443))")
    mesh.do("accept", uid="a", role=OUTBOUND)


def test_applying_the_same_plan_twice_changes_nothing(mesh):
    listeners = mesh.do("listeners")
    mesh.apply([mesh.a.spec(strict=True)], ALIASES)
    assert mesh.do("listeners") == listeners


# ---------------------------------------------------------------- the broker


def test_the_broker_counts_what_it_gives(mesh):
    assert mesh.do("sockets", uid="a", count=32) == 32
    assert mesh.do("sockets", uid="a", ipv6=True, count=1) == 1
    for count in (0, 33):
        with pytest.raises(RuntimeError, match="1 to 32"):
            mesh.do("sockets", uid="a", count=count)
    with pytest.raises(RuntimeError, match="not captured"):
        mesh.do("sockets", uid="b", count=1)


# ---------------------------------------------------------------- other people's programs


@pytest.fixture
def foreign(machine, tmp_path):
    """Somebody else's connect4 program at an ancestor of the pods' cgroup, attached as this fixture's caller says."""
    source, program = tmp_path / "foreign.c", machine.folder / "foreign"
    source.write_text('__attribute__((section("cgroup/connect4"), used)) int somebody_else(void *ctx) { return 1; }\n'
                      'char text[] __attribute__((section("license"), used)) = "GPL";\n')
    subprocess.run(["clang-19", "-target", "bpf", "-O2", "-c", str(source), "-o", str(tmp_path / "foreign.o")], check=True)
    bpftool("prog", "load", str(tmp_path / "foreign.o"), str(program))
    attached = []

    def attach(*flags):
        bpftool("cgroup", "attach", str(machine.cgroup), "connect4", "pinned", str(program), *flags)
        attached.append(True)

    yield attach
    if attached:
        bpftool("cgroup", "detach", str(machine.cgroup), "connect4", "pinned", str(program))
    program.unlink()


@pytest.mark.parametrize("flags", [[], ["override"]])
def test_a_foreign_program_that_would_be_silenced_is_named_with_its_cgroup_and_a_cure(node, foreign, flags):
    foreign(*flags)
    with pytest.raises(RuntimeError) as refused:
        node.open()
    assert all(part in str(refused.value) for part in (str(node.cgroup), "somebody_else", "connect4", "BPF_F_ALLOW_MULTI"))


def test_a_foreign_program_that_allows_others_is_left_alone(node, foreign):
    foreign("multi")
    node.open()
    assert "somebody_else" in bpftool("cgroup", "show", str(node.cgroup))


# ---------------------------------------------------------------- checks, removal, rights


def test_every_hook_is_attached_and_a_lost_one_is_seen(mesh):
    hooks = mesh.do("hooks")
    assert len(hooks) == 12 and all(hook["ok"] for hook in hooks)
    os.unlink(mesh.folder / "leat/links/connect4")
    deadline = time.monotonic() + 5
    while all(hook["ok"] for hook in mesh.do("hooks")):
        assert time.monotonic() < deadline  # the kernel ends an unpinned link a moment later
    assert [hook["name"].split()[0] for hook in mesh.do("hooks") if not hook["ok"]] == ["connect4"]


def test_this_kernel_has_what_capture_needs(node):
    assert [feature for feature in node.do("features", **node.options) if not feature["ok"]] == []


def test_a_missing_cgroup_or_bpf_file_system_is_named(node):
    with pytest.raises(RuntimeError, match="no-such"):
        node.do("open", **node.options | dict(pods=str(node.cgroup / "no-such")))
    with pytest.raises(RuntimeError, match="mount -t bpf"):
        node.do("open", **node.options | dict(bpffs="/tmp/leat-not-a-bpffs"))


def test_uninstall_leaves_nothing(mesh):
    pods_cgroup = str(mesh.cgroup / "pods")
    held = mesh.a(f"c = dial(('{VIP}', 443))")
    links_before = json.loads(bpftool("-j", "cgroup", "show", pods_cgroup))
    assert len(links_before) == 9
    mesh.do("uninstall", **mesh.options)
    assert bpftool("-j", "cgroup", "show", pods_cgroup).strip() in ("", "[]")
    assert not (mesh.folder / "leat").exists()
    routes = subprocess.run(["ip", "-6", "-n", os.path.basename(mesh.a.netns), "route", "show", "table", "local"], capture_output=True, text=True)
    assert "fd6c:6561:7400" not in routes.stdout
    mesh.driver.kill()
    listening = subprocess.run(["nsenter", f"--net={mesh.a.netns}", "ss", "-Hltn"], capture_output=True, text=True).stdout
    assert "15008" not in listening
    mesh.stranger("l = serve(('0.0.0.0', 80))")
    mesh.a(f"c = dial(('{mesh.stranger.v4}', 80))")
    assert held is None and mesh.stranger("accepted(l)[1][0]") == mesh.a.v4


def test_three_capabilities_are_enough(node):
    driver = pathlib.Path(node.driver.process.args[-2])
    only = "-all,+bpf,+net_admin,+sys_admin"
    node.driver.kill()
    limited = type(node.driver)(["setpriv", f"--bounding-set={only}", f"--inh-caps={only}", str(driver), "error"], node.host.netns,
                                node.cgroup / "agent")
    node.drivers.append(limited)
    node.driver = limited
    status = pathlib.Path(f"/proc/{limited.process.pid}/status").read_text
    node.open()
    assert f"CapEff:\t{(1 << 39) | (1 << 12) | (1 << 21):016x}" in status()
    node.apply([node.a.spec(strict=True)], ALIASES)
    node.a(f"c = dial(('{VIP}', 443))")
    node.do("accept", uid="a", role=OUTBOUND)
    assert node.do("flows", uid="a") == [] and node.do("untouched", uid="a") is not None
    node.stranger(f"tried(('{node.a.v4}', 1))")
    node.do("accept", uid="a", role=PLAINTEXT)
