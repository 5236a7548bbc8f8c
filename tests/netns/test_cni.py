"""leat-cni: the real plugin against a real agent. A new pod of the mesh starts when it is captured, not before; pods outside do not depend
on an agent; what goes wrong is told in the pod's events; removal never fails."""
import contextlib
import json
import signal
import socket
import time

import pytest

from container_runtime import VERSIONS, Container, Runtime
from mesh import PLAIN, shop_without_leat, strict
from lab import wait_for
from shop import BACKEND_TCP_PORT, BACKEND_VIP, NAMESPACE, enrolled_pods

pytestmark = pytest.mark.skipif(PLAIN, reason="asks Leat, and LEAT_PLAIN is set")


def cni_config(node):
    return {"cni": {"netns": str(node.netns_folder), "own_namespace": "leat-system"}}


@pytest.fixture(scope="module")
def shop():
    with shop_without_leat(needs="leat-cni") as made:
        for node in made.lab.nodes:
            node.start_leat(**cni_config(node))
        for node in made.lab.nodes:
            node.wait_ready()
        made.enrol()
        yield made


@pytest.fixture
def runtime(shop):
    return Runtime(shop.a)


@contextlib.contextmanager
def agent_restarted(shop):
    """Whatever was done to the agent, it runs at the end."""
    try:
        yield
    finally:
        shop.a.agent.signal(signal.SIGCONT)
        if not shop.a.agent.alive:
            shop.a.start_agent(**cni_config(shop.a))
        shop.a.wait_ready()


def pending(shop, pod, uid=None, **metadata):
    """The object of a pod that was scheduled and has not started: no address, no namespace."""
    shop.lab.objects.write(f"pod-{pod.namespace}-{pod.name}", {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": uid or f"{pod.namespace}-{pod.name}", **metadata},
        "spec": {"nodeName": shop.a.name, "serviceAccountName": pod.name, "containers": [{"name": "app", "image": "app"}]},
        "status": {"phase": "Pending"}})


@contextlib.contextmanager
def starting(shop, name, namespace=NAMESPACE, with_object=True, **metadata):
    """A pod that has its network, and none of its programs has started."""
    pod = shop.a.add_pod(name, namespace, ipv6=False)
    if with_object:
        pending(shop, pod, **metadata)
    try:
        yield pod
    finally:
        with contextlib.suppress(FileNotFoundError):
            shop.lab.objects.remove(f"pod-{namespace}-{name}")
        pod.delete()


def enrolled(shop):
    return enrolled_pods(shop.a)


def metric(shop, name):
    rows = json.loads(shop.a.leat("metrics", "-o", "json").stdout)
    return next(row["value"] for row in rows if row["name"] == name)


def connect_once(address, port):
    with socket.create_connection((address, port), timeout=10) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return client.recv(12)


# ---------------------------------------------------------------- what it is for

@pytest.mark.parametrize("version", VERSIONS)
def test_a_pod_of_the_mesh_is_captured_before_the_answer_which_is_the_result_that_came_in(shop, version):
    runtime = Runtime(shop.a, version=version)
    with starting(shop, f"fresh-{version.replace('.', '-')}") as pod:
        container = runtime.container(pod)
        answer = runtime.add(container)
        assert answer.out == json.dumps(runtime.previous(container)) + "\n"
        assert pod.name in enrolled(shop)
        assert runtime.run("DEL", container).status == 0


def test_two_hundred_pods_in_a_row_whose_first_act_is_a_connect_are_in_the_mesh(shop, runtime, record_property):
    """The servers take mesh traffic only, so that one connect outside it fails."""
    slowest = 0
    with strict(shop):
        wait_for(lambda: shop.visitor.call(refused, BACKEND_VIP, BACKEND_TCP_PORT), "strangers are refused")
        for number in range(200):
            with starting(shop, f"quick-{number}") as pod:
                container = runtime.container(pod)
                begun = time.monotonic()
                runtime.add(container)
                slowest = max(slowest, time.monotonic() - begun)
                assert pod.call(connect_once, BACKEND_VIP, BACKEND_TCP_PORT).startswith(b"HTTP/1."), number
                runtime.run("DEL", container)
    record_property("slowest ADD ms", round(slowest * 1000))


def refused(address, port):
    try:
        return not connect_once(address, port)
    except OSError:
        return True


def test_strict_holds_for_a_pod_from_its_first_packet(shop, runtime):
    with strict(shop), starting(shop, "guarded") as pod:
        runtime.add(runtime.container(pod))
        server = pod.spawn(serve_one)
        server.hear()
        assert shop.visitor.call(refused, pod.ipv4, 7000)
        server.kill()


def serve_one(say):
    with socket.create_server(("0.0.0.0", 7000)) as listener:
        say("listening")
        client, _ = listener.accept()
        client.recv(100)
        client.sendall(b"HTTP/1.0 200 OK\r\n\r\n")


def test_a_hundred_adds_at_once_are_all_captured_and_let_go(shop, runtime):
    script = "for i in $(seq 100); do touch $0/many-$i && unshare --net=$0/many-$i ip link set lo up; done"
    shop.a.run(["sh", "-c", script, str(shop.a.netns_folder)])
    containers = [Container(f"many-{i}", NAMESPACE, f"{shop.a.netns_folder}/many-{i}", [f"10.1.9.{i}"], f"many-{i}") for i in range(1, 101)]
    objects = [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": each.pod, "namespace": NAMESPACE, "uid": each.uid},
                "spec": {"nodeName": shop.a.name, "serviceAccountName": "many", "containers": [{"name": "app", "image": "app"}]},
                "status": {"phase": "Pending"}} for each in containers]
    shop.lab.objects.write("many", *objects)
    try:
        answers = [runtime.finish(child) for child in [runtime.start("ADD", each) for each in containers]]
        assert [answer.out for answer in answers if answer.status] == []
        assert {each.pod for each in containers} <= enrolled(shop)
        assert not any([runtime.run("DEL", each).status for each in containers])
        wait_for(lambda: not {each.pod for each in containers} & enrolled(shop), "they are let go")
    finally:
        shop.lab.objects.remove("many")
        shop.a.run(["sh", "-c", "for i in $(seq 100); do umount $0/many-$i && rm $0/many-$i; done", str(shop.a.netns_folder)])


def test_a_pod_whose_object_has_not_come_yet_waits_for_it(shop, runtime):
    with starting(shop, "early", with_object=False) as pod:
        child = runtime.start("ADD", runtime.container(pod))
        wait_for(lambda: metric(shop, "leat_agent_cni_waiting") == 1, "the agent waits")
        pending(shop, pod)
        assert runtime.finish(child).status == 0
        assert pod.name in enrolled(shop)


def test_a_pod_that_opted_out_passes_and_is_left_alone(shop, runtime):
    with starting(shop, "aside", labels={"leat.dev/mesh": "disabled"}) as pod:
        runtime.add(runtime.container(pod))
        assert pod.name not in enrolled(shop)


def test_a_pod_that_can_not_be_captured_is_told_why(shop):
    with starting(shop, "taken") as pod:
        holder = pod.spawn(hold_port)
        holder.hear()
        error = Runtime(shop.a, wait_ms=600).run("ADD", Runtime(shop.a).container(pod)).error
        holder.kill()
        assert error["code"] == 11
        assert "15008" in error["msg"] and f"{NAMESPACE}/taken" in error["msg"]


def hold_port(say):
    with socket.create_server(("127.127.0.1", 15008)):
        say("held")
        signal.pause()


# ---------------------------------------------------------------- without an agent

def test_without_an_agent_pods_outside_pass_at_once_and_pods_of_the_mesh_are_held_back_and_told_why(shop, runtime):
    with starting(shop, "outsider", "default") as outsider, starting(shop, "insider") as insider, agent_restarted(shop):
        shop.a.agent.kill()
        assert Runtime(shop.a, wait_ms=30000).run("ADD", runtime.container(outsider)).status == 0
        error = Runtime(shop.a, wait_ms=400).run("ADD", runtime.container(insider)).error
        assert error["code"] == 11
        assert "leat-agent on this node did not answer within 400 ms" in error["msg"] and "kubelet tries again" in error["details"]
        assert Runtime(shop.a, ownNamespace=NAMESPACE).run("ADD", runtime.container(insider)).status == 0  # Leat's own


def test_a_pod_waits_for_an_agent_that_comes(shop, runtime):
    with starting(shop, "patient") as pod, agent_restarted(shop):
        shop.a.agent.kill()
        child = Runtime(shop.a, wait_ms=30000).start("ADD", runtime.container(pod))
        shop.a.start_agent(**cni_config(shop.a))
        assert runtime.finish(child).status == 0
        assert pod.name in enrolled(shop)


def test_an_agent_that_is_silent_holds_a_pod_back_no_longer_than_said(shop, runtime):
    with starting(shop, "stopped") as pod, agent_restarted(shop):
        shop.a.agent.signal(signal.SIGSTOP)
        begun = time.monotonic()
        error = Runtime(shop.a, wait_ms=500).run("ADD", runtime.container(pod)).error
        assert error["code"] == 11 and "does not answer" in error["msg"]
        assert time.monotonic() - begun < 5


def test_an_agent_that_is_killed_over_a_question_is_asked_again_when_it_is_back(shop, runtime):
    with starting(shop, "asking", with_object=False) as pod, agent_restarted(shop):
        child = Runtime(shop.a, wait_ms=30000).start("ADD", runtime.container(pod))
        wait_for(lambda: metric(shop, "leat_agent_cni_waiting") == 1, "the agent waits")
        shop.a.agent.kill()
        pending(shop, pod)
        shop.a.start_agent(**cni_config(shop.a))
        assert runtime.finish(child).status == 0
        assert pod.name in enrolled(shop)


@pytest.mark.parametrize("damage", [lambda file: file.unlink(), lambda file: file.write_text(file.read_text()[:20])],
                         ids=["missing", "truncated"])
def test_without_its_file_and_an_agent_nobody_passes_and_the_next_agent_writes_it_anew(shop, runtime, damage):
    file = shop.a.state / "enrolled-namespaces"
    with starting(shop, "unknown", "default") as pod, agent_restarted(shop):
        shop.a.agent.kill()
        damage(file)
        error = Runtime(shop.a, wait_ms=300).run("ADD", runtime.container(pod)).error
        assert error["code"] == 11 and "missing or damaged" in error["msg"]
    wait_for(lambda: NAMESPACE in json.loads(file.read_text())["namespaces"], "the file is there again")


@pytest.mark.parametrize("text", ["", "[", '[{"container": 5}]', "[{}]"])
def test_a_damaged_file_of_attachments_stops_no_agent(shop, text):
    with agent_restarted(shop):
        shop.a.agent.terminate()
        (shop.a.state / "attachments").write_text(text)
    assert not shop.ask(3)["failed"]


def test_a_pod_that_has_not_told_its_address_yet_stays_captured_over_a_restart_of_the_agent(shop, runtime):
    with starting(shop, "between") as pod:
        runtime.add(runtime.container(pod))
        with agent_restarted(shop):
            shop.a.agent.kill()
        assert pod.name in enrolled(shop)
        assert pod.call(connect_once, BACKEND_VIP, BACKEND_TCP_PORT).startswith(b"HTTP/1.")


# ---------------------------------------------------------------- the end, and the other verbs

def test_del_succeeds_three_times_without_a_namespace_and_without_an_agent(shop, runtime):
    with starting(shop, "leaving") as pod:
        container = runtime.container(pod)
        runtime.add(container)
        assert runtime.run("DEL", container).status == 0
        wait_for(lambda: pod.name not in enrolled(shop), "it is let go")
        container.netns = ""
        assert runtime.run("DEL", container).status == 0
        with agent_restarted(shop):
            shop.a.agent.kill()
            assert runtime.run("DEL", container).status == 0


def test_a_container_that_went_without_a_word_is_noticed(shop, runtime):
    with starting(shop, "vanishing") as pod:
        container = runtime.container(pod)
        runtime.add(container)
    wait_for(lambda: container.id not in (shop.a.state / "attachments").read_text(), "it is forgotten", 20)
    assert runtime.run("ADD", container).error["code"] == 8  # its namespace is gone


def test_a_new_sandbox_of_a_pod_is_captured_and_the_late_del_of_the_old_one_changes_nothing(shop, runtime):
    with starting(shop, "again") as pod:
        old = runtime.container(pod)
        runtime.add(old)
        new = runtime.container(pod)
        runtime.add(new)
        assert runtime.run("DEL", old).status == 0
        runtime.run("CHECK", new)
        assert pod.name in enrolled(shop)


def test_gc_lets_go_of_what_the_runtime_does_not_know(shop):
    runtime = Runtime(shop.a, version="1.1.0")
    with starting(shop, "kept") as kept, starting(shop, "lost") as lost:
        alive, dead = runtime.container(kept), runtime.container(lost)
        runtime.add(alive)
        runtime.add(dead)
        valid = [{"containerID": alive.id, "ifname": "eth0"}]
        assert runtime.run("GC", **{"cni.dev/valid-attachments": valid}).status == 0
        wait_for(lambda: lost.name not in enrolled(shop), "it is let go")
        assert kept.name in enrolled(shop)


def test_check_knows_a_captured_pod_from_one_that_is_not(shop, runtime):
    with starting(shop, "checked") as pod:
        container = runtime.container(pod)
        assert runtime.run("CHECK", container).error["code"] == 100
        runtime.add(container)
        assert runtime.run("CHECK", container).status == 0


def test_status_and_version(shop):
    runtime = Runtime(shop.a, version="1.1.0", statusNeedsAgent=True, wait_ms=300)
    assert runtime.run("STATUS").status == 0
    assert json.loads(runtime.run("VERSION").out)["supportedVersions"] == VERSIONS
    with agent_restarted(shop):
        shop.a.agent.kill()
        assert runtime.run("STATUS").error["code"] == 50
        assert Runtime(shop.a, version="1.1.0").run("STATUS").status == 0


def test_only_root_may_ask(shop):
    before = metric(shop, "leat_agent_cni_refused_total")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stranger:
        stranger.connect(str(shop.a.state / "cni.sock"))
        stranger.send(b"nonsense")
        assert stranger.recv(100) == b""
    assert metric(shop, "leat_agent_cni_refused_total") == before + 1


# ---------------------------------------------------------------- pods that were missed

def test_a_pod_that_started_before_it_could_be_captured_is_captured_and_counted_once(shop):
    before = metric(shop, "leat_agent_pods_captured_late_total")
    with shop.another_pod(shop.a, "late", annotations={}) as pod:
        born = {"annotations": {"leat.dev/netns": str(pod.netns)}, "creationTimestamp": "2999-01-01T00:00:00Z"}
        assert metric(shop, "leat_agent_pods_captured_late_total") == before  # no date, no telling
        pending_running(shop, pod, **born)
        wait_for(lambda: metric(shop, "leat_agent_pods_captured_late_total") == before + 1, "it is counted")
        with agent_restarted(shop):
            shop.a.agent.terminate()
        assert metric(shop, "leat_agent_pods_captured_late_total") == 0  # a new agent's count: it was told of before
        assert pod.name in enrolled(shop)


def pending_running(shop, pod, **metadata):
    shop.lab.objects.write(f"pod-{pod.namespace}-{pod.name}", {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": f"{pod.namespace}-{pod.name}", **metadata},
        "spec": {"nodeName": shop.a.name, "serviceAccountName": pod.name, "containers": [{"name": "app", "image": "app"}]},
        "status": {"phase": "Running", "podIP": pod.ipv4}})
