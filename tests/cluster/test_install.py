"""From nothing to `leat flows` by the commands of docs/install.md, word for word; what is then seen; and that nothing stays behind."""
import json
import re

import pytest

from kube import wait_for
from nodes.layout import REPOSITORY

INSTALL = REPOSITORY / "docs" / "install.md"
LEAT = ["/sys/fs/bpf/leat", "/var/lib/leat/proxy.sock", "/var/lib/leat/last-seen", "/var/lib/kubelet/seccomp/leat", "/opt/cni/bin/leat-cni"]


def commands():
    """The three of the page's first block, which the README has, too."""
    block = re.search(r"^(?: {4}.+\n)+", INSTALL.read_text(), re.MULTILINE)[0]
    assert block in (REPOSITORY / "README.md").read_text()
    return [line.strip() for line in block.splitlines()]


@pytest.fixture(scope="module")
def before(kube, shop):
    """What the application was before Leat: its pods, and that they are untouched so far."""
    pods = {pod["metadata"]["uid"]: pod["status"]["containerStatuses"][0]["restartCount"] for pod in kube.get("pods", "-n", "shop")["items"]}
    assert not kube.ask(20)["failed"]
    return pods


@pytest.fixture(scope="module")
def installed(kube, images, before):
    install, label, flows = commands()
    assert install.startswith("helm install") and label.startswith("kubectl label") and "leat flows" in flows
    kube.shell(install)
    kube.shell(label)
    try:
        wait_for(lambda: len(kube.enrolled()) == 4, "all pods are enrolled", timeout=60, interval=0.5)
        yield flows
    finally:
        kube.uninstall()


def test_the_three_commands_show_the_flows_of_pods_that_ran_before(kube, installed, before):
    assert not kube.ask(60)["failed"]
    assert "shop/frontend" in kube.shell(installed)
    now = {pod["metadata"]["uid"]: pod["status"]["containerStatuses"][0]["restartCount"] for pod in kube.get("pods", "-n", "shop")["items"]}
    assert now == before  # the same pods, and none was restarted


def test_the_cluster_was_fit_and_is_well_say_the_checks(kube, installed):
    before, after = kube.shell("kubectl leat check --pre"), kube.shell("kubectl leat check")
    assert "node2: kernel" in before and "fail" not in before + after
    assert all("warn" not in line for line in after.splitlines() if line.split()[1] != "objects"), after


def test_what_the_commands_show_of_all_nodes(kube, installed):
    assert not kube.ask(20)["failed"]
    pods = kube.shell("kubectl leat pods -n shop -l app=backend")
    assert "node1" in pods and "node2" in pods and "frontend" not in pods
    assert "backend" in kube.shell("kubectl leat services -n shop") and "backend" not in kube.shell("kubectl leat services -n default")
    assert {line.split()[0] for line in kube.shell("kubectl leat certs").splitlines()[1:]} == {"node1", "node2"}
    pod = kube.pod("shop", "app=frontend")
    assert "Captured for" in kube.shell(f"kubectl leat describe pod {pod} -n shop")
    assert "from shop/frontend" in kube.shell("kubectl leat describe svc backend -n shop")
    assert "istio_requests_total" in kube.shell("kubectl leat metrics")
    assert "frontend" in kube.shell("kubectl -n shop exec deploy/frontend -- /shop ask 20 http://backend:8080/ >/dev/null; kubectl leat flows -n shop --since 60s")


def test_all_is_well_says_helm_test(kube, installed):
    wait_for(lambda: "Succeeded" in kube.helm("test", "leat", "-n", "leat-system", "--timeout", "60s"), "helm test", timeout=60, interval=2)


def test_pods_of_two_nodes_speak_mutual_tls(kube, installed):
    answers = kube.ask(60, "http://backend:9090/")
    assert not answers["failed"] and len(answers["pods"]) == 3
    (address,) = answers["clients"]
    assert address == kube.get("pod", "-n", "shop", kube.pod("shop", "app=frontend"))["status"]["podIP"]
    flow = kube.flows("node1", path="hbone")[0]
    assert flow["peerIdentity"] == "spiffe://cluster.local/ns/shop/sa/backend"


def test_certificates_are_of_the_root_that_leat_ca_publishes(kube, installed):
    root = kube.get("configmap", "leat-ca-root", "-n", "leat-system")["data"]["root-cert.pem"]
    assert root.count("BEGIN CERTIFICATE") == 1
    assert "leat-ca.leat-system.svc" in kube.kubectl("-n", "leat-system", "get", "configmap", "leat-agent", "-o", "yaml")
    for node in ("node1", "node2"):
        assert all(found["state"] == "valid" and not found["lastError"] for found in json.loads(kube.leat(node, "certs", "-o", "json")))


def test_a_pod_of_the_mesh_is_captured_before_its_first_program_starts(kube, installed):
    """Its first connection is the first thing that it does."""
    kube.kubectl("-n", "shop", "rollout", "restart", "deployment/frontend")
    kube.kubectl("-n", "shop", "rollout", "status", "deployment/frontend", "--timeout=60s")
    for node in ("node1", "node2"):
        (row,) = json.loads(kube.leat(node, "check", "--only", "cni", "-o", "json"))
        assert row["status"] == "ok", row


def test_nine_in_ten_requests_go_to_version_1(kube, installed):
    with kube.applied("split.yaml"):
        wait_for(lambda: "90%" in kube.leat("node1", "routes"), "the route is in force", timeout=20, interval=0.2)
        answers = kube.ask(1000)
        v2 = sum(count for pod, count in answers["pods"].items() if pod.startswith("backend-v2"))
        assert not answers["failed"] and 60 <= v2 <= 140, answers  # 100 ± 4 standard deviations
        routes = kube.leat("node1", "routes")
        assert "shop/backend v1 90%" in routes and "shop/backend v2 10%" in routes
    wait_for(lambda: "90%" not in kube.leat("node1", "routes"), "the route is gone", timeout=20, interval=0.2)


def test_an_agent_may_not_speak_for_another_node(kube, installed):
    mine = next(name for name in kube.kubectl("get", "nodeworkloads", "-o", "name").split() if "node1" in name)
    token = kube.kubectl("-n", "leat-system", "create", "token", "leat-agent", "--bound-object-kind", "Pod", "--bound-object-name",
                         kube.pod("leat-system", "app.kubernetes.io/name=leat-agent", "node2")).strip()
    said = kube.refuses("--token", token, "--kubeconfig", "/dev/null", "--server", "https://10.89.0.11:6443", "--insecure-skip-tls-verify",
                        "delete", "--raw", f"/apis/leat.dev/v1alpha1/nodeworkloads/{mine.split('/')[1]}")
    assert "an agent writes the NodeWorkloads of its own node only" in said


def test_after_uninstalling_nothing_of_leat_is_on_the_nodes(kube, installed):
    for node in kube.nodes:
        assert "agent.lock" in node.run("ls", "/var/lib/leat")
        assert "leat-cni" in node.run("cat", "/etc/cni/net.d/10-cluster.conflist")
    kube.helm("uninstall", "leat", "-n", "leat-system", "--wait", "--timeout", "120s")
    wait_for(lambda: not kube.get("pods", "-n", "leat-system")["items"], "its pods are gone", timeout=60, interval=0.5)
    for node in kube.nodes:
        left = node.run("sh", "-c", f"ls -d {' '.join(LEAT)} 2>/dev/null; ls -A /var/lib/leat; grep -l leat /etc/cni/net.d/*; ip -6 route show table all | grep fd6c || true")
        assert not left, f"{node.name}: {left}"
    assert not kube.ask(40)["failed"]
