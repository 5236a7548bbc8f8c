"""The lab keeps its own promises: what the other tests stand on."""
import json
import os
import signal
import subprocess
import sys

import pytest

from mesh import REPOSITORY
from lab import Lab, wait_for
from lab.cgroup import mount_point
from lab.manifests import to_yaml
from edge import Edge
from lab.services import VirtualService

APPS = REPOSITORY / "demo" / "apps"


@pytest.fixture(scope="module")
def plain():
    """Two nodes without Leat, a client and a server on each."""
    with Lab("plain") as lab:
        for name in ("node-a", "node-b"):
            node = lab.add_node(name)
            node.client = node.add_pod(f"client-{name}")
            node.server = node.add_pod(f"server-{name}")
            node.server.start([APPS / "backend.py", "--name", node.server.name, "--version", "v1"]).expect("serving")
        yield lab


def ask(pod, url, count=1):
    return json.loads(pod.run([APPS / "frontend.py", url, "--count", count]).stdout)


@pytest.mark.parametrize("server_node", [0, 1], ids=["same-node", "other-node"])
@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_a_pod_reaches_a_pod_and_is_seen_at_its_own_address(plain, server_node, family):
    client, server = plain.nodes[0].client, plain.nodes[server_node].server
    host = server.ipv4 if family == "ipv4" else f"[{server.ipv6}]"
    answer = ask(client, f"http://{host}:8080/")
    assert answer["pods"] == {server.name: 1}
    assert answer["clients"] == {getattr(client, family): 1}


def test_a_service_address_reaches_every_endpoint_by_name(plain):
    servers = [node.server for node in plain.nodes]
    plain.nodes[0].serve_virtual_addresses([
        VirtualService(["10.96.0.10", "fd00:96::10"], 80, 8080, [address for server in servers for address in server.addresses])])
    plain.add_host_name("backend", "10.96.0.10")
    answer = ask(plain.nodes[0].client, "http://backend:80/", count=40)
    assert set(answer["pods"]) == {server.name for server in servers} and not answer["failed"]
    assert ask(plain.nodes[0].client, "http://[fd00:96::10]:80/", count=4)["failed"] == {}


def test_plaintext_is_seen_on_the_wire_between_nodes(plain):
    with plain.nodes[0].wire_to(plain.nodes[1]) as wire:
        ask(plain.nodes[0].client, f"http://{plain.nodes[1].server.ipv4}:8080/")
    assert wire.saw(b"leat-plaintext-marker")
    assert {segment.destination_port for segment in wire.segments()} >= {8080}
    assert wire.tls_records() == 0


def test_a_deleted_pod_takes_its_namespace_with_it(plain):
    node = plain.nodes[0]
    pod, neighbour = node.add_pod("short-lived"), node.add_pod("neighbour")
    inode = os.stat(f"/proc/{pod.holder}/ns/net").st_ino
    pod.delete()
    assert subprocess.run(["lsns", "-t", "net", "-n", "-o", "NS"], capture_output=True, text=True).stdout.split().count(str(inode)) == 0
    wait_for(lambda: "pod" + pod.ipv4.rsplit(".", 1)[1] not in node.run(["ip", "-br", "link"]).stdout, "its veth is gone")
    neighbour.delete()


def test_programs_of_a_pod_are_in_its_cgroup(plain):
    pod = plain.nodes[0].client
    assert pod.run(["cat", "/proc/self/cgroup"]).stdout.rstrip().endswith("/node-a/pods/default-client-node-a")


def test_the_hosts_own_network_and_mounts_are_not_touched():
    def host():
        return [subprocess.run(command, capture_output=True, text=True, check=True).stdout
                for command in (["ip", "-br", "addr"], ["ip", "route"], ["nft", "list", "ruleset"], ["cat", "/proc/mounts"])]
    before = host()
    with Lab("quiet") as lab:
        lab.add_node("node-a").add_pod("client")
        assert host() == before
    assert host() == before


def test_a_killed_run_is_swept_up_by_the_next():
    script = ("import sys; sys.path.insert(0, sys.argv[1])\n"
              "from lab import Lab\n"
              "lab = Lab('killed'); lab.add_node('node-a').add_pod('client'); print(lab.name, flush=True); input()")
    with subprocess.Popen([sys.executable, "-c", script, str(REPOSITORY / "demo")], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as owner:
        name = owner.stdout.readline().strip()
        assert (mount_point() / name).exists()
        assert name not in Lab.sweep()
        owner.send_signal(signal.SIGKILL)
    assert name in Lab.sweep()
    assert not (mount_point() / name).exists()


def test_manifests_are_yaml_that_reads_back():
    yaml = pytest.importorskip("yaml")
    document = {"kind": "Pod", "metadata": {"name": "a-1", "labels": {}, "x/y": "true"}, "list": [{"a": 1, "b": [1, "2"]}, "no", 8080],
                "empty": []}
    assert yaml.safe_load(to_yaml(document)) == document


def test_the_figures_of_an_edge_are_of_its_own_requests_since_the_look_before():
    def metrics(well, badly, fast, slow):
        def labels(code):
            return {"destination_service_name": "backend", "response_code": code}
        return [{"name": "istio_requests_total", "labels": labels("200"), "value": well},
                {"name": "istio_requests_total", "labels": labels("503"), "value": badly},
                {"name": "istio_requests_total", "labels": {"destination_service_name": "other", "response_code": "503"}, "value": 1000},
                {"name": "istio_request_duration_milliseconds", "labels": labels("200"),
                 "buckets": [{"le": 1, "count": fast}, {"le": 5, "count": fast + slow}]}]
    edge = Edge(metrics(110, 12, 60, 62), metrics(20, 2, 10, 12), destination_service_name="backend")
    assert (edge.requests, edge.success_percent) == (100, 90)
    assert edge.quantile_ms(0.5) == 1 and edge.quantile_ms(0.75) == 3
