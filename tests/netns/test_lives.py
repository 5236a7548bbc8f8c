"""Programs die, hang and are replaced while traffic runs. What may be lost is said in each test; what may not is counted."""
import json
import os
import signal
import statistics
import subprocess
import time
from pathlib import Path

import pytest

from mesh import asks_leat, flows, running_shop, strict
from lab import wait_for
from load import BASE_PORT, ECHO, Callers, Held, Load, start_backend
from programs import connect, echo, read_exactly, try_connect, try_http
from shop import BACKEND_PORT

pytestmark = asks_leat
IN_FLIGHT = 8
UPGRADES = 50


@pytest.fixture
def loaded(new_shop):
    """A shop whose backends also run the load backend."""
    for name in ("backend-v1-1", "backend-v1-2"):
        start_backend(new_shop.backends[name])
    start_backend(new_shop.visitor)
    new_shop.near, new_shop.far = new_shop.backends["backend-v1-1"], new_shop.backends["backend-v1-2"]
    return new_shop


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def proxy_worker(node):
    """The process that carries traffic, below its supervisor."""
    return wait_for(lambda: children(node.proxy.pid), "the supervisor has a child")[0]


def refused(report):
    return {reason: count for reason, count in report["failed"].items() if reason.startswith("connect")}


def test_killing_the_proxy_refuses_no_connect_and_loses_only_what_it_had_accepted(loaded):
    """-9 on each node's data process, four times, under load. Direct and untouched connections notice nothing."""
    untouched_by_it = Held(loaded.frontend, [loaded.near.ipv4, loaded.visitor.ipv4])
    callers = Callers(loaded.frontend, loaded.far.ipv4, threads=IN_FLIGHT)
    kills = 0
    for node in (loaded.a, loaded.b) * 4:
        victim = proxy_worker(node)
        os.kill(victim, signal.SIGKILL)
        kills += 1
        wait_for(lambda node=node, victim=victim: proxy_worker(node) != victim, "the supervisor starts another")
        wait_for(lambda: loaded.frontend.call(try_connect, loaded.far.ipv4, BASE_PORT + ECHO) == "ok", "it serves again")
    report = callers.stop()
    assert refused(report) == {}
    assert sum(report["failed"].values()) <= kills * IN_FLIGHT, report
    assert report["done"] > 100
    assert untouched_by_it.alive() == ["ok", "ok"]
    untouched_by_it.end()


def test_with_the_whole_proxy_gone_connects_wait_for_the_next_one(loaded):
    """Supervisor too, as when its pod is deleted: the agent holds the listeners, so the backlog takes what comes."""
    loaded.a.kill_proxies()
    load = Load(loaded.frontend, "newconn", loaded.far.ipv4, connections=IN_FLIGHT, total=100, timeout=10)
    loaded.a.start_proxy()
    report = load.report()
    assert report["failed"] == {} and report["done"] == 100


def test_a_proxy_that_is_told_to_end_serves_until_the_next_one_does(loaded):
    """As where its pod is deleted: the next one comes a moment later."""
    callers = Callers(loaded.frontend, loaded.far.ipv4, threads=IN_FLIGHT)
    old = loaded.a.proxy
    old.signal(signal.SIGTERM)
    old.expect("told to end")
    assert [loaded.frontend.call(try_connect, loaded.far.ipv4, BASE_PORT + ECHO) for _ in range(20)] == ["ok"] * 20
    loaded.a.start_proxy()
    wait_for(lambda: not old.alive, "the old one has drained", timeout=20)
    report = callers.stop()
    assert report["failed"] == {} and report["done"] > 100


def test_a_proxy_that_is_told_to_end_and_has_no_successor_ends(loaded):
    old = loaded.a.proxy
    old.signal(signal.SIGTERM)
    wait_for(lambda: not old.alive, "it has ended", timeout=20)


def test_a_tunnel_that_waited_for_a_first_proxy_answers_without_delay(new_shop):
    """A connection takes its options from the listener when its handshake is through, here before any proxy has seen the listener."""
    new_shop.b.kill_proxies()
    with new_shop.another_pod(new_shop.b, "waiter") as pod:
        server = pod.spawn(echo, BASE_PORT)
        assert server.hear() == "listening"
        client = new_shop.frontend.spawn(_usual_answer_time, pod.ipv4, BASE_PORT, 60)
        assert client.hear() == "asked"
        new_shop.b.start_proxy()
        assert client.hear(20) < 0.03, "less than a delayed acknowledgement takes"
        server.kill()


def _usual_answer_time(say, address, port, count):
    """The first connection waits for the proxy; the others take its tunnel. Seconds from connect() to the first byte, the median."""
    with connect(address, port) as first:
        first.sendall(b"?")
        say("asked")
        read_exactly(first, 1)
    took = []
    for _ in range(count):
        start = time.monotonic()
        with connect(address, port) as sock:
            sock.sendall(b"?")
            read_exactly(sock, 1)
        took.append(time.monotonic() - start)
    say(statistics.median(took))


def test_replacing_the_proxy_fifty_times_under_load_fails_nothing(loaded):
    callers = {"one request a connection": Callers(loaded.frontend, loaded.far.ipv4, threads=2),
               "five requests a connection": Callers(loaded.frontend, loaded.far.ipv4, threads=2, each=5),
               "same node": Callers(loaded.frontend, loaded.near.ipv4, threads=1)}
    for number in range(UPGRADES):
        loaded.lab.nodes[number % 2].replace_proxy()
    reports = {name: caller.stop() for name, caller in callers.items()}
    assert {name: report["failed"] for name, report in reports.items()} == dict.fromkeys(callers, {})
    assert all(report["done"] > UPGRADES for report in reports.values())


def test_a_long_lived_connection_survives_five_replacements_of_both_proxies(loaded):
    """Each proxy that is replaced stays for the connections that it has, and leaves after the last of them."""
    loaded.lab.objects.mesh(drainTimeout="60s")
    long_lived = Held(loaded.frontend, [loaded.far.ipv4])
    replaced = []
    for node in loaded.lab.nodes * 5:
        replaced.append(node.proxy)
        node.start_proxy().expect("armed")
        assert long_lived.alive() == ["ok"]
    carriers = replaced[:2]
    wait_for(lambda: not any(proxy.alive for proxy in replaced[2:]), "those without a connection have left")
    assert all(proxy.alive for proxy in carriers)
    long_lived.end()
    assert [proxy.wait() for proxy in carriers] == [0, 0]


def test_a_stopped_proxy_is_replaced_and_nothing_stays_stuck(loaded):
    """SIGSTOP on the data process: the supervisor sees no loop turn for 3 s, kills it, and the next one serves."""
    victim = proxy_worker(loaded.a)
    os.kill(victim, signal.SIGSTOP)
    load = Load(loaded.frontend, "newconn", loaded.far.ipv4, connections=IN_FLIGHT, total=200, timeout=15)
    report = load.report()
    assert proxy_worker(loaded.a) != victim
    assert refused(report) == {} and sum(report["failed"].values()) <= IN_FLIGHT
    assert loaded.ask(10)["failed"] == {}


def test_killing_and_restarting_the_agent_under_load_fails_no_connection(loaded):
    callers = [Callers(loaded.frontend, pod.ipv4, threads=2) for pod in (loaded.far, loaded.near)]
    for node in (loaded.a, loaded.b, loaded.a):
        node.agent.kill()
        node.start_agent()
        node.wait_ready()
    for report in (caller.stop() for caller in callers):
        assert report["failed"] == {} and report["done"] > 100


def test_a_proxy_that_hangs_while_the_agent_restarts_is_ended_and_the_next_one_serves(loaded):
    """Its supervisor too, so that nobody else ends it: the agent finds the process that had the lease in its former life."""
    hung = loaded.a.proxy
    worker = proxy_worker(loaded.a)
    for pid in (hung.pid, worker):
        os.kill(pid, signal.SIGSTOP)
    loaded.a.agent.kill()
    loaded.a.start_agent()
    loaded.a.start_proxy().expect("armed")
    wait_for(lambda: Path(f"/proc/{worker}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z", "the hung process has ended")
    assert loaded.ask(10)["failed"] == {}
    hung.kill()


def test_a_process_that_has_the_former_proxys_number_after_a_restart_of_the_machine_is_left_alone(loaded):
    """Numbers, and the inodes of pidfds, are given out anew then: often the same to another. The boot is remembered with them."""
    loaded.a.agent.kill()
    loaded.a.kill_proxies()
    stranger = subprocess.Popen(["sleep", "60"])
    lease = loaded.a.state / "lease"
    epoch, instance, *_ = lease.read_text().split()
    birth = os.fstat(os.pidfd_open(stranger.pid)).st_ino
    lease.write_text(f"{epoch} {instance} {stranger.pid} {birth} 00000000-0000-0000-0000-000000000000\n")
    loaded.a.start_agent()
    loaded.a.start_proxy().expect("armed")
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def test_a_proxy_that_hangs_out_of_the_agents_reach_loses_its_listeners_and_the_next_one_serves(loaded):
    """The agent in a pid namespace of its own, as in a container: it can't signal a proxy there."""
    loaded.a.agent.kill()
    loaded.a.kill_proxies()
    loaded.a.agent = loaded.a.part(loaded.a.agent_cgroup).start(
        ["unshare", "--pid", "--fork", "--kill-child", loaded.lab.binary("leat-agent"), "--config", loaded.a.folder / "agent.yaml"])
    wait_for(loaded.a.api_socket.exists, "the agent listens")
    loaded.a.start_proxy()
    loaded.a.wait_ready()
    hung = loaded.a.proxy
    worker = proxy_worker(loaded.a)
    for pid in (hung.pid, worker):
        os.kill(pid, signal.SIGSTOP)
    loaded.a.start_proxy().expect("armed")
    assert "can't be ended from here" in loaded.a.agent.text() and worker in loaded.a.worker_pids()
    assert loaded.ask(10)["failed"] == {}
    os.kill(worker, signal.SIGKILL)
    hung.kill()


def test_with_both_killed_strict_pods_are_closed_and_after_restart_all_is_well(loaded):
    with strict(loaded):
        wait_for(lambda: loaded.visitor.call(try_http, loaded.near.ipv4, BACKEND_PORT) != "ok", "strict is in force")
        for node in loaded.lab.nodes:
            node.agent.kill()
            node.kill_proxies()
        for pod in (loaded.near, loaded.far):
            assert loaded.visitor.call(try_connect, pod.ipv4, BASE_PORT + ECHO, 2) != "ok"
        for node in loaded.lab.nodes:
            node.start_leat()
        for node in loaded.lab.nodes:
            node.wait_ready()
        assert loaded.ask(30)["failed"] == {}
        assert loaded.visitor.call(try_connect, loaded.near.ipv4, BASE_PORT + ECHO) != "ok"


def test_without_a_proxy_permissive_goes_untouched_and_strict_is_refused_at_once():
    with running_shop(noProxyTimeout="1s") as shop:
        near = shop.backends["backend-v1-1"]
        start_backend(shop.visitor)
        shop.a.kill_proxies()
        wait_for(lambda: shop.frontend.call(try_http, shop.backends["backend-v1-2"].ipv4, BACKEND_PORT, 2) == "ok",
                 "a permissive pod goes untouched", interval=0.2)
        with strict(shop):
            def refused_at_once():
                started = time.monotonic()
                return shop.visitor.call(try_http, near.ipv4, BACKEND_PORT) == "refused" and time.monotonic() - started < 1
            wait_for(refused_at_once, "a strict pod refuses at once", interval=0.2)
        check = shop.a.leat("check", check=False)
        assert check.returncode == 1 and "proxy" in check.stdout


def test_certificates_are_renewed_under_load_without_a_failed_connection():
    with running_shop(enrol=False, certificateLifetime="20s") as shop:
        shop.enrol()
        far = shop.backends["backend-v1-2"]
        start_backend(far)
        before = serials(shop.a)
        callers = Callers(shop.frontend, far.ipv4, each=3)
        wait_for(lambda: before and not before & serials(shop.a), "every certificate is renewed", timeout=25, interval=0.2)
        report = callers.stop()
        assert report["failed"] == {} and report["done"] > 500


def serials(node):
    return {certificate["serial"] for certificate in json.loads(node.leat("certs", "-o", "json").stdout)}


def test_a_deleted_pods_listeners_and_spare_sockets_go_within_a_second(new_shop):
    """They would keep its namespace, and so its veth on the node, alive for ever."""
    with new_shop.another_pod(new_shop.a, "short-lived") as pod:
        assert not new_shop.ask(3, caller=pod)["failed"]
        device = f"pod{pod.ipv4.rsplit('.', 1)[1]}"
        assert device in new_shop.a.run(["ip", "-br", "link"]).stdout
    wait_for(lambda: device not in new_shop.a.run(["ip", "-br", "link"]).stdout, "the namespace is gone", timeout=1.5)


def test_uninstall_leaves_nothing_behind(new_shop):
    node = new_shop.a
    node.agent.terminate()
    node.kill_proxies()
    node.leat("uninstall", "--config", str(node.folder / "agent.yaml"))
    assert list(Path(f"/proc/{node.holder}/root{node.bpffs}/leat").rglob("*")) == []
    assert new_shop.ask(10, url=f"http://{new_shop.backends['backend-v1-2'].ipv4}:{BACKEND_PORT}/")["failed"] == {}
    assert "15008" not in new_shop.frontend.run(["ss", "-Htln"]).stdout


def test_a_newer_agent_waits_for_the_older_one_and_takes_over_without_a_gap(loaded):
    callers = Callers(loaded.frontend, loaded.far.ipv4)
    old = loaded.a.agent
    loaded.a.start_agent()
    assert old.alive and loaded.a.agent.alive
    old.terminate()
    loaded.a.wait_ready()
    report = callers.stop()
    assert report["failed"] == {} and report["done"] > 100


def test_flows_that_were_open_when_the_agent_died_are_still_listed(loaded):
    held = Held(loaded.frontend, [loaded.far.ipv4])
    loaded.a.agent.kill()
    loaded.a.start_agent()
    loaded.a.wait_ready()
    assert flows(loaded.a, path="hbone", destinationPod=loaded.far.name, verdict="open")
    assert held.alive() == ["ok"]
    held.end()
