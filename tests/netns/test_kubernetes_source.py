"""The same scene as from files, but the agents read it from an API server (api_server.py, a stand-in): what users do takes effect as
with files, and nothing that happens to the API server reaches the traffic."""
import contextlib
import json
import socket

import pytest

from mesh import PLAIN, REPOSITORY, flows, shop_without_leat, strict
from lab import wait_for
from programs import try_http
from shop import BACKEND_PORT, NAMESPACE

pytestmark = pytest.mark.skipif(PLAIN, reason="asks Leat, and LEAT_PLAIN is set")

PORT, OTHER_PORT = 6443, 6444
LEASE = "leat-system/leat-agent"
SERVER = REPOSITORY / "tests" / "netns" / "api_server.py"


class ApiServer:
    """On the first node, as a control plane's would be; `away` while stopped."""

    def __init__(self, shop, without=()):
        self.shop = shop
        self.state = shop.lab.folder / "api"
        self.without = list(without)
        self.program = None
        self.start()

    def start(self, port=PORT):
        command = ["/usr/bin/python3", SERVER, "--objects", self.shop.lab.objects.folder, "--state", self.state,
                   "--address", self.shop.a.gateway4, "--port", port]
        self.program = self.shop.a.start(command + (["--without", *self.without] if self.without else []))
        self.program.expect("serving")

    def stop(self):
        self.program.kill()

    def do(self, what, **details):
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(10)
            control.connect(str(self.state / "control.sock"))
            control.sendall(json.dumps({"do": what, **details}).encode() + b"\n")
            return json.loads(control.makefile().readline())

    def requests(self, kind, status=200):
        """Paths of the requests about a kind, or any, that were answered so."""
        return [path for _, path, answered in self.do("requests") if f"/{kind}" in path and answered == status]

    def config(self, node):
        return {"objects": None, "kubernetes": {"servers": [f"https://{self.shop.a.gateway4}:{port}" for port in (PORT, OTHER_PORT)],
                                                "token": str(self.state / "token"), "ca": str(self.state / "ca.crt"), "lease": LEASE,
                                                "netns": str(node.netns_folder)}}


@contextlib.contextmanager
def running_cluster(without=(), enrol=True):
    with shop_without_leat() as shop:
        shop.api = ApiServer(shop, without)
        for node in shop.lab.nodes:
            node.start_leat(**shop.api.config(node))
        for node in shop.lab.nodes:
            node.wait_ready()
        if enrol:
            shop.enrol()
            wait_until_known(shop)
        yield shop


@pytest.fixture(scope="module")
def cluster():
    with running_cluster() as shop:
        yield shop


def captured_backends(node):
    """Names of the backends that this node knows as captured, wherever they are."""
    services = json.loads(node.leat("services", "-o", "json").stdout)
    endpoints = [endpoint for service in services if service["name"] == "backend" for endpoint in service["endpoints"]]
    return {endpoint["pod"].split("/")[-1] for endpoint in endpoints if endpoint["captured"]}


def wait_until_known(shop):
    """Until each node knows of the other's captured pods."""
    for node in shop.lab.nodes:
        wait_for(lambda node=node: captured_backends(node) == set(shop.backends), f"{node.name}: all nodes' pods are known", 40)


def answered_by(shop, pods, timeout=40.0):
    """Waits until the frontend's requests are answered by just these pods."""
    wait_for(lambda: set(shop.ask(30)["pods"]) == set(pods), f"{sorted(pods)} answer", timeout)


V1, V2 = {"backend-v1-1", "backend-v1-2"}, {"backend-v2-1"}
ALL = V1 | V2


@contextlib.contextmanager
def all_to_v2(shop):
    shop.split(0, 100)
    try:
        yield
    finally:
        shop.lab.objects.remove("split")


# ---------------------------------------------------------------- what users do

def test_a_label_enrols_running_pods_and_their_traffic_to_the_other_node_is_encrypted(cluster):
    result = cluster.ask(60)
    assert not result["failed"] and set(result["pods"]) == ALL
    assert not cluster.ask(20, url=f"http://{cluster.backends['backend-v2-1'].ipv4}:{BACKEND_PORT}/")["failed"]
    flow = flows(cluster.a, path="hbone", sourcePod="frontend", destinationPod="backend-v2-1")[0]
    assert flow["peerIdentity"] == "spiffe://cluster.local/ns/shop/sa/backend"


def test_a_virtual_service_moves_traffic_while_it_is_there(cluster):
    with all_to_v2(cluster):
        answered_by(cluster, V2)
    answered_by(cluster, ALL)


def test_strict_refuses_strangers_while_it_is_there(cluster):
    target = cluster.backends["backend-v1-2"].ipv4
    with strict(cluster):
        wait_for(lambda: cluster.visitor.call(try_http, target, BACKEND_PORT) != "ok", "strangers are refused")
        assert not cluster.ask(20)["failed"]
    wait_for(lambda: cluster.visitor.call(try_http, target, BACKEND_PORT) == "ok", "strangers are served")


def test_a_pod_that_comes_and_goes_is_taken_up_and_let_go_on_both_nodes(cluster):
    description = {"labels": {"app": "backend", "version": "v3"}, "account": "backend"}
    with cluster.another_pod(cluster.b, "backend-v3-1", **description):
        wait_for(lambda: "backend-v3-1" in captured_backends(cluster.a), "node-a knows it as captured")
    wait_for(lambda: captured_backends(cluster.a) == ALL, "node-a knows that it is gone")


def test_a_pod_that_opts_out_is_no_longer_published(cluster):
    pod = cluster.backends["backend-v2-1"]
    cluster.lab.objects.pod(pod, {**pod.labels, "leat.dev/mesh": "disabled"}, account="backend")
    try:
        wait_for(lambda: captured_backends(cluster.a) == V1, "node-a knows that it is outside")
        assert not cluster.ask(30)["failed"]
    finally:
        cluster.lab.objects.pod(pod, pod.labels, account="backend")
    wait_until_known(cluster)


def test_lists_come_in_pages(cluster):
    assert any("continue=" in path for path in cluster.api.requests("endpointslices"))


# ---------------------------------------------------------------- what happens to the API server

def test_edits_count_after_connections_were_cut(cluster):
    cluster.api.do("cut")
    with all_to_v2(cluster):
        answered_by(cluster, V2)
    answered_by(cluster, ALL)


def test_edits_count_after_versions_were_forgotten(cluster):
    lists = len(cluster.api.requests("services?limit"))
    cluster.api.do("expire")
    wait_for(lambda: len(cluster.api.requests("services?limit")) >= lists + 2, "both nodes list anew")
    assert any("NotOlderThan" in path for path in cluster.api.requests("services?limit"))
    with all_to_v2(cluster):
        answered_by(cluster, V2)
    answered_by(cluster, ALL)


def test_a_token_that_ran_out_is_read_again(cluster):
    cluster.api.do("token")
    cluster.api.do("cut")
    wait_for(lambda: cluster.api.requests("", 401), "the old one is refused")
    with all_to_v2(cluster):
        answered_by(cluster, V2)
    answered_by(cluster, ALL)


def says_that_the_server_is_away(node):
    return "Kubernetes API: can't be read" in node.leat("check", check=False).stdout


def test_nothing_is_lost_while_the_server_is_away_and_traffic_does_not_notice(cluster):
    """It comes back with another CA and token, and has forgotten every version: one pod is gone by then, and a route there, to a subset
    that is as new as the route itself."""
    gone = cluster.backends["backend-v1-2"]

    def be_away():
        cluster.api.stop()
        cluster.lab.objects.remove(f"pod-{NAMESPACE}-{gone.name}")
        cluster.split(0, 100)
        for node in cluster.lab.nodes:
            wait_for(lambda node=node: says_that_the_server_is_away(node), f"{node.name} says it", 20)
        assert set(cluster.ask(60)["pods"]) == ALL  # as it was last seen
        cluster.api.start()
        for node in cluster.lab.nodes:
            wait_for(lambda node=node: captured_backends(node) == ALL - {gone.name}, f"{node.name} knows that a pod is gone", 60)

    try:
        result = cluster.ask_during(be_away, count=3000)
        assert not result["failed"], result
        answered_by(cluster, V2)
    finally:
        cluster.lab.objects.remove("split")
        cluster.lab.objects.pod(gone, gone.labels, account="backend")
    wait_until_known(cluster)
    answered_by(cluster, ALL)
    for node in cluster.lab.nodes:
        node.wait_ready()


def test_an_agent_that_starts_while_the_server_is_away_goes_by_what_the_one_before_it_knew(cluster):
    """The proxy is new as well, so every socket, certificate and route that the requests need comes from that agent."""
    cluster.api.stop()
    try:
        with strict(cluster):  # which nobody hears of yet
            for node in cluster.lab.nodes:
                node.agent.kill()
                node.kill_proxies()
                node.start_leat(**cluster.api.config(node))
            for node in cluster.lab.nodes:
                wait_for(lambda node=node: captured_backends(node) == ALL, f"{node.name} knows all pods", 40)
            wait_for(lambda: not cluster.ask(20)["failed"], "requests are answered", 40)
            assert set(cluster.ask(60)["pods"]) == ALL
            flow = flows(cluster.a, path="hbone", sourcePod="frontend")[0]
            assert flow["peerIdentity"] == "spiffe://cluster.local/ns/shop/sa/backend"
            for node in cluster.lab.nodes:
                wait_for(lambda node=node: says_that_the_server_is_away(node), f"{node.name} says it", 20)
                assert "what was seen until 20" in node.leat("check", check=False).stdout
            target = cluster.backends["backend-v1-2"].ipv4
            assert cluster.visitor.call(try_http, target, BACKEND_PORT) == "ok"
            cluster.api.start()
            wait_for(lambda: cluster.visitor.call(try_http, target, BACKEND_PORT) != "ok", "the edit counts: strangers are refused", 60)
            assert not cluster.ask(20)["failed"]
    finally:
        if not cluster.api.program.alive:
            cluster.api.start()
    wait_until_known(cluster)
    for node in cluster.lab.nodes:
        node.wait_ready()


def test_edits_count_by_the_second_server_when_the_first_is_away(cluster):
    for port in (OTHER_PORT, PORT):
        cluster.api.stop()
        cluster.api.start(port)
        with all_to_v2(cluster):
            answered_by(cluster, V2, timeout=60)
        answered_by(cluster, ALL, timeout=60)


# ---------------------------------------------------------------- kinds that are not installed

def test_a_kind_that_is_not_installed_is_missed_by_nobody_and_noticed_when_it_comes():
    with running_cluster(without=["VirtualService", "DestinationRule", "PeerAuthentication"]) as shop:
        with all_to_v2(shop):
            assert set(shop.ask(60)["pods"]) == ALL
            for kind in ("VirtualService", "DestinationRule"):
                shop.api.do("install", kind=kind)
            answered_by(shop, V2, timeout=60)
