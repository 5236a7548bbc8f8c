"""`kubectl leat`: the command line through a stand-in for kubectl (fake_kubectl.py), which runs `leat relay` beside each node's agent."""
import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from mesh import PLAIN
from shop import BACKEND_PORT

pytestmark = pytest.mark.skipif(PLAIN, reason="asks Leat, and LEAT_PLAIN is set")
FAKE = Path(__file__).with_name("fake_kubectl.py")


class KubectlLeat:
    def __init__(self, shop, folder, lost=()):
        self.folder, self.program = folder, shop.lab.binary("kubectl-leat")
        self.calls = folder / "calls"
        nodes = {node.name: "" if node.name in lost else str(node.api_socket) for node in shop.lab.nodes}
        (folder / "cluster").write_text(json.dumps({"context": "test", "leat": str(shop.lab.binary("leat")), "nodes": nodes,
                                                    "calls": str(self.calls)}))

    def __call__(self, *words, context="test"):
        environment = {**os.environ, "LEAT_KUBECTL": str(FAKE), "LEAT_FAKE_CLUSTER": str(self.folder / "cluster")}
        environment.pop("LEAT_AGENT", None)
        return subprocess.run([str(self.program), f"--context={context}", *words], capture_output=True, text=True, timeout=60,
                              cwd=self.folder, env=environment)

    def json(self, *words):
        done = self(*words, "-o", "json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def kubectl_leat(shop, tmp_path):
    return KubectlLeat(shop, tmp_path)


def test_flows_of_all_nodes_are_one_list(shop, kubectl_leat):
    assert not shop.ask(20)["failed"]
    found = kubectl_leat.json("flows", "-n", "shop", "--closed")
    assert {flow["node"] for flow in found} == {"node-a", "node-b"}
    assert {flow["direction"] for flow in found if flow["path"] == "hbone"} == {"outbound", "inbound"}
    assert all("shop" in (flow["sourceNamespace"], flow["destinationNamespace"]) for flow in found)


def test_one_node_may_be_asked_alone(shop, kubectl_leat):
    assert not shop.ask(20)["failed"]
    assert {flow["node"] for flow in kubectl_leat.json("flows", "--closed", "--node", "node-b")} == {"node-b"}
    assert {pod["node"] for pod in kubectl_leat.json("pods", "--node", "node-b")} == {"node-b"}


def test_pods_are_those_of_every_node_and_labels_choose_among_them(kubectl_leat):
    assert {pod["name"] for pod in kubectl_leat.json("pods", "-A")} >= {"frontend", "visitor", "backend-v1-1", "backend-v2-1"}
    assert {pod["name"] for pod in kubectl_leat.json("pods", "-n", "shop", "-l", "app=backend,version=v1")} == {"backend-v1-1", "backend-v1-2"}
    table = kubectl_leat("pods").stdout.splitlines()
    assert table[0].startswith("NODE") and {line.split()[0] for line in table[1:] if line.startswith("node-")} == {"node-a", "node-b"}


def test_flows_of_labelled_pods_only(shop, kubectl_leat):
    assert not shop.ask(30)["failed"]
    found = kubectl_leat.json("flows", "--closed", "-l", "version=v2")
    assert found and all("backend-v2-1" in (flow["sourcePod"], flow["destinationPod"]) for flow in found)


def test_check_certs_services_and_version_are_of_all_nodes(kubectl_leat):
    done = kubectl_leat("check")
    assert done.returncode == 0 and "node-a" in done.stdout and "node-b" in done.stdout
    assert {row["node"] for row in kubectl_leat.json("certs")} == {"node-a", "node-b"}
    assert {row["node"] for row in kubectl_leat.json("version")} == {"node-a", "node-b"}
    backend = [service for service in kubectl_leat.json("services") if service["name"] == "backend"]
    assert len(backend) == 1 and backend[0]["endpoints"]


def test_what_happens_to_a_pods_traffic_is_told_in_sentences(shop, kubectl_leat):
    shop.split(90, 10)
    try:
        assert not shop.ask(30)["failed"]
        told = kubectl_leat("describe", "pod", "shop/frontend").stdout
        assert "Captured" in told and "Accepts mutual TLS and plaintext (PERMISSIVE)" in told
        assert f"to shop/backend:{BACKEND_PORT}" in told and "VirtualService shop/backend" in told and "v1 90 %, v2 10 %" in told
        service = kubectl_leat("describe", "svc", "-n", "shop", "backend").stdout
        assert "from shop/frontend" in service and "shop/backend-v2-1 on node-b, in the mesh" in service
    finally:
        shop.end_split()
    refused = kubectl_leat("describe", "pod", "nobody")
    assert refused.returncode == 1 and "no pod nobody is known" in refused.stderr


def test_a_node_that_is_lost_is_named_and_the_others_are_shown(shop, tmp_path):
    leat = KubectlLeat(shop, tmp_path, lost=["node-b"])
    done = leat("pods", "-o", "json")
    assert done.returncode == 0 and {pod["node"] for pod in json.loads(done.stdout)} == {"node-a"}
    assert "node-b: kubectl exec ended: error: unable to upgrade connection: container not found" in done.stderr


def test_what_kubectl_says_is_said(kubectl_leat):
    done = kubectl_leat("flows", context="wrong")
    assert done.returncode == 3 and "context was not found" in done.stderr and "cure:" in done.stderr


def test_a_bug_report_holds_every_nodes_answers_and_the_logs(kubectl_leat):
    done = kubectl_leat("bug-report", "report")
    assert done.returncode == 0, done.stderr
    with tarfile.open(kubectl_leat.folder / "report.tar.gz") as archive:
        names = set(archive.getnames())
    assert {"report/node-a.check.json", "report/node-b.flows.json", "report/agent.log", "report/ca.log", "report/problems.txt"} <= names


def test_a_whole_cluster_is_not_uninstalled_node_by_node(kubectl_leat):
    done = kubectl_leat("uninstall")
    assert done.returncode == 2 and "helm uninstall" in done.stderr
