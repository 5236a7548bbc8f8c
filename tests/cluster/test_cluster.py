"""The cluster itself, without Leat: it is a real one, and the machine does not notice it."""
import subprocess
from pathlib import Path

import pytest

from kube import wait_for
from nodes import cluster
from nodes.layout import CGROUP, CLUSTER, LOGS, RUN


def network_of_the_machine():
    return [subprocess.run(["ip", *words], capture_output=True, text=True, check=True).stdout
            for words in (["-br", "link"], ["-br", "address"], ["route", "show", "table", "all"])]


def test_nodes_are_ready_and_of_the_version_that_was_built(kube):
    nodes = kube.get("nodes")["items"]
    assert [node["metadata"]["name"] for node in nodes] == ["node1", "node2"]
    assert {node["status"]["nodeInfo"]["kubeletVersion"] for node in nodes} == {"v1.36.3"}


def test_a_service_reaches_pods_of_both_nodes_by_its_name(kube, shop):
    wait_for(lambda: len(kube.ask(60)["pods"]) == 3, "kube-proxy knows all endpoints", timeout=60, interval=0.5)
    answers = kube.ask(60)
    assert not answers["failed"] and len(answers["pods"]) == 3
    (address,) = answers["clients"]
    assert address == kube.get("pod", "-n", "shop", kube.pod("shop", "app=frontend"))["status"]["podIP"]


def test_the_machine_keeps_its_network_and_files(kube):
    assert not {"node1", "node2"} & set("".join(network_of_the_machine()).split())
    assert not Path("/var/lib/kubelet").exists() and not Path("/etc/kubernetes").exists()


def test_up_is_done_where_it_is_up(kube):
    before = [node.pid for node in cluster.nodes()]
    cluster.up()
    assert [node.pid for node in cluster.nodes()] == before


def test_a_server_that_is_held_is_away_and_returns(kube):
    with kube.nodes[0].hold("kube-apiserver"):
        kube.refuses("get", "--raw", "/readyz", "--request-timeout=2s")
    wait_for(cluster.is_ready, "the API server is back", timeout=60, interval=0.5)


@pytest.mark.long
def test_nothing_is_left_of_a_cluster_whose_start_was_killed():
    if cluster.nodes():
        pytest.skip("a cluster is up")
    before = network_of_the_machine()
    start = subprocess.Popen([CLUSTER / "cluster", "up"], stderr=subprocess.DEVNULL)
    wait_for(lambda: (LOGS / "node1-kubelet.log").exists() and (RUN / "node2").exists(), "its nodes start", timeout=60)
    start.kill()
    start.wait()
    cluster.down()
    assert network_of_the_machine() == before
    assert not RUN.exists() and not list(Path("/sys/fs/cgroup").glob(f"**/{CGROUP}"))
