"""What pods do with their network, in the mesh and under STRICT: none of it is harmed, and strangers are refused."""
import json
import re
import subprocess

import pytest

from kube import wait_for
from nodes import cluster
from nodes.layout import CLUSTER


@pytest.fixture(scope="module", autouse=True)
def workloads(kube, leat):
    with kube.applied("workloads.yaml"), kube.applied("strict.yaml"):
        kube.kubectl("-n", "shop", "rollout", "status", "statefulset/store", "--timeout=90s")
        kube.kubectl("-n", "shop", "wait", "--for=condition=Ready", "pod/host", "--timeout=60s")
        kube.kubectl("-n", "outside", "wait", "--for=condition=Ready", "pod/visitor", "--timeout=60s")
        wait_for(lambda: {"store-0", "store-1"} <= kube.enrolled(), "they are enrolled", timeout=30, interval=0.5)
        wait_for(lambda: refused(kube), "strangers are refused", timeout=30, interval=0.5)
        yield


def ask_from(kube, namespace, pod, count, url, container=None):
    words = ["-n", namespace, "exec", pod, *(["-c", container] if container else []), "--", "/shop", "ask", str(count), url]
    return json.loads(kube.kubectl(*words))


def refused(kube):
    answers = ask_from(kube, "outside", "visitor", 4, "http://backend.shop:8080/")
    return sum(answers["failed"].values()) == 4


def address(kube, pod):
    return kube.get("pod", "-n", "shop", pod)["status"]["podIP"]


def test_a_stranger_is_refused_and_the_reason_is_told(kube):
    assert refused(kube)
    assert any("STRICT" in kube.leat(node.name, "flows", "-n", "shop", "--closed") for node in kube.nodes)


def test_probes_of_all_kinds_go_on_under_strict(kube):
    """By gRPC at the start, by TCP, by HTTP and by a command since; each goes well some times more, and none fails."""
    before = probes(kube)
    kinds = {(pod, container, kind) for pod in ("store-0", "store-1")
             for container, kind in (("store", "Readiness"), ("store", "Liveness"), ("beside", "Readiness"))}
    assert all(before["successful"].get((pod, "store", "Startup")) for pod in ("store-0", "store-1"))
    assert kinds <= set(before["successful"])
    wait_for(lambda: all(probes(kube)["successful"][key] >= before["successful"][key] + 3 for key in kinds), "more probes", timeout=30, interval=0.5)
    now = probes(kube)
    assert {key: now["failed"].get(key, 0) - before["failed"].get(key, 0) for key in kinds} == dict.fromkeys(kinds, 0)


def probes(kube):
    """What the kubelets count: {"successful": {(pod, container, kind): how often}, "failed": …}"""
    counts = {"successful": {}, "failed": {}}
    for node in kube.nodes:
        for line in kube.kubectl("get", "--raw", f"/api/v1/nodes/{node.name}/proxy/metrics/probes").splitlines():
            if line.startswith("prober_probe_total{") and 'namespace="shop"' in line:
                labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
                counts.get(labels["result"], {})[labels["pod"], labels["container"], labels["probe_type"]] = float(line.split()[-1])
    return counts


def test_each_pod_of_a_headless_service_has_its_name(kube):
    for pod in ("store-0", "store-1"):
        assert kube.ask(5, f"http://{pod}.store:8080/") | {"clients": None} == {"pods": {pod: 5}, "clients": None, "failed": {}}
    answers = kube.ask(40, "http://store:8080/")
    assert not answers["failed"] and answers["pods"]


def test_a_pod_reaches_itself_by_its_service(kube):
    for _ in range(3):
        assert ask_from(kube, "shop", "store-0", 5, "http://itself/", "store")["pods"] == {"store-0": 5}


def test_a_pod_reaches_itself_by_its_address_and_by_loopback(kube):
    for url in (f"http://{address(kube, 'store-0')}:8080/", "http://127.0.0.1:8080/", "http://localhost:8080/"):
        assert ask_from(kube, "shop", "store-0", 5, url, "store")["pods"] == {"store-0": 5}, url


def test_a_service_without_a_selector_goes_where_its_slice_says(kube):
    slice_ = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
              "metadata": {"name": "manual-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": "manual"}},
              "ports": [{"name": "http", "port": 8080}], "endpoints": [{"addresses": [address(kube, "store-1")], "conditions": {"ready": True}}]}
    kube.kubectl("apply", "-f", "-", input=json.dumps(slice_))
    try:
        wait_for(lambda: kube.ask(5, "http://manual:8080/")["pods"] == {"store-1": 5}, "its endpoint answers", timeout=20, interval=0.5)
    finally:
        kube.kubectl("-n", "shop", "delete", "endpointslice", "manual-1")


def test_an_external_name_leads_to_what_it_names(kube):
    answers = kube.ask(30, "http://elsewhere:8080/")
    assert not answers["failed"] and len(answers["pods"]) == 3


def test_a_pod_of_the_hosts_network_is_left_alone(kube):
    rows = {pod["name"]: pod for node in kube.nodes for pod in json.loads(kube.leat(node.name, "pods", "-n", "shop", "-o", "json"))}
    assert rows["host"]["enrolment"] == "not enrolled" and "hostNetwork" in rows["host"]["reason"], rows["host"]
    assert kube.ask(10, f"http://{address(kube, 'host')}:8088/")["pods"] == {"host": 10}


def test_exec_logs_and_port_forward_are_unharmed(kube):
    pod = kube.pod("shop", "app=store", "node2")
    kube.kubectl("-n", "shop", "logs", pod, "-c", "store")
    forward = subprocess.Popen(cluster.kubectl_command("-n", "shop", "port-forward", pod, ":8080"), stdout=subprocess.PIPE, text=True, env=cluster.environment())
    try:
        port = forward.stdout.readline().split(":")[1].split()[0]
        said = subprocess.run(cluster.outside_command("curl", "-sS", "--max-time", "10", f"http://127.0.0.1:{port}/"), capture_output=True, text=True)
        assert json.loads(said.stdout)["pod"] == pod, said.stderr
    finally:
        forward.terminate()
        forward.wait()


@pytest.mark.parametrize("completions, parallelism", [(20, 10), pytest.param(200, 4, marks=pytest.mark.long), pytest.param(100, 100, marks=pytest.mark.long)])
def test_pods_whose_first_act_is_a_connection(kube, completions, parallelism):
    manifest = (CLUSTER / "manifests/first-act.yaml").read_text()
    manifest = manifest.replace("completions: 20", f"completions: {completions}").replace("parallelism: 10", f"parallelism: {parallelism}")
    kube.kubectl("apply", "-f", "-", input=manifest)
    try:
        status = wait_for(lambda: done(kube), "the job ends", timeout=60 + 3 * completions, interval=1)
        assert status.get("succeeded") == completions and not status.get("failed"), status
    finally:
        kube.kubectl("-n", "shop", "delete", "job", "first-act", "--wait", "--timeout=120s")


def done(kube):
    status = kube.get("job", "-n", "shop", "first-act")["status"]
    return any(condition["type"] in ("Complete", "Failed") and condition["status"] == "True" for condition in status.get("conditions", [])) and status


def test_an_installer_that_rewrites_the_network_list_does_not_get_leat_out(kube):
    path = "/etc/cni/net.d/10-cluster.conflist"
    for node in kube.nodes:
        plugins = json.loads(node.run("cat", path))
        plugins["plugins"] = [plugin for plugin in plugins["plugins"] if plugin["type"] != "leat-cni"]
        node.run("sh", "-c", f"cat >{path}.new && mv {path}.new {path}", input=json.dumps(plugins))
        wait_for(lambda node=node: "leat-cni" in node.run("cat", path), f"{node.name} has it again", timeout=20, interval=0.1)


def test_when_all_of_leat_has_gone_and_comes_back_strict_is_in_force_again(kube):
    """As after a node's reboot, but that the pods are kept: programs, pins, agent and proxy are gone."""
    restarts = kube.restarts("leat-agent")
    for node in kube.nodes:
        node.run("rm", "-r", "/sys/fs/bpf/leat")
        node.kill("leat-agent")
        node.kill("leat-proxy")
    wait_for(lambda: kube.restarts("leat-agent") == [count + 1 for count in restarts], "agents start anew", timeout=60, interval=0.2)
    wait_for(lambda: refused(kube), "strangers are refused", timeout=60, interval=0.2)
    wait_for(lambda: not kube.ask(20)["failed"], "the mesh is served", timeout=60, interval=0.5)
    wait_for(lambda: {"store-0", "store-1"} <= kube.enrolled(), "all are enrolled", timeout=60, interval=0.5)
