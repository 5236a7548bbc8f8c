"""STRICT: no plaintext from outside the mesh gets in, and whoever is refused finds out why."""
import pytest

from mesh import asks_leat, flows, strict
from lab import wait_for
from programs import echo, try_connect, try_http
from shop import BACKEND_PORT, NAMESPACE

pytestmark = asks_leat
OTHER_PORT = 22000


@pytest.fixture
def strict_shop(shop, near, far):
    with strict(shop):
        for pod in (near, far):
            wait_for(lambda pod=pod: shop.visitor.call(try_http, pod.ipv4, BACKEND_PORT) != "ok", f"{pod.name} is strict")
        yield shop


def http(pod):
    return f"http://{pod.ipv4}:{BACKEND_PORT}/"


def test_permissive_serves_plaintext_from_outside_the_mesh(shop, server):
    assert shop.ask(2, shop.visitor, http(server))["clients"] == {shop.visitor.ipv4: 2}


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_strict_refuses_plaintext_with_a_reset(strict_shop, server, family):
    assert strict_shop.visitor.call(try_http, getattr(server, family), BACKEND_PORT) in ("reset", "refused")


def test_strict_says_whom_it_refused_and_why_in_flows_and_log(strict_shop, near):
    strict_shop.visitor.call(try_http, near.ipv4, BACKEND_PORT)
    flow = flows(strict_shop.a, verdict="denied", destinationPod=near.name)[-1]
    assert "STRICT" in flow["reason"] and flow["cure"]
    assert flow["sourceAddress"] == strict_shop.visitor.ipv4
    wait_for(lambda: strict_shop.visitor.ipv4 in strict_shop.a.proxy.text(), "the proxy's log names the refused client")


def test_strict_serves_the_mesh_on_every_path(strict_shop, server):
    assert strict_shop.ask(20, url=http(server))["failed"] == {}
    assert strict_shop.ask(20)["failed"] == {}


def test_a_port_may_be_less_strict_than_its_pod(shop, near):
    with strict(shop, selector={"app": "backend"}, ports={BACKEND_PORT: "PERMISSIVE"}):
        other = near.spawn(echo, OTHER_PORT)
        assert other.hear() == "listening"
        wait_for(lambda: shop.visitor.call(try_connect, near.ipv4, OTHER_PORT) != "ok", "the pod is strict")
        assert shop.ask(1, shop.visitor, http(near))["failed"] == {}
        other.kill()


def test_a_port_may_be_stricter_than_its_pod(shop, near):
    shop.lab.objects.peer_authentication("port", NAMESPACE, "PERMISSIVE", {"app": "backend"}, {BACKEND_PORT: "STRICT"})
    try:
        wait_for(lambda: shop.ask(1, shop.visitor, http(near))["failed"], "the port is strict")
        assert shop.ask(1, url=http(near))["failed"] == {}
    finally:
        shop.lab.objects.remove(f"peerauthentication-{NAMESPACE}-port")


def test_the_kubelets_probe_passes_strict_and_nobody_elses(strict_shop, near):
    """A probe comes in plaintext from the node: only the kubelet's cgroup may, and only to a declared probe's port."""
    objects = strict_shop.lab.objects
    probe = {"readinessProbe": {"httpGet": {"path": "/", "port": BACKEND_PORT}}}
    objects.pod(near, near.labels, account="backend", container=probe)
    try:
        wait_for(lambda: _curl(strict_shop.a.kubelet, near), "the kubelet's probe is answered")
        assert not _curl(strict_shop.a.part(strict_shop.a.cgroup), near)
    finally:
        objects.pod(near, near.labels, account="backend")


def _curl(place, pod):
    return place.run(["curl", "-s", "-o", "/dev/null", "--max-time", "5", http(pod)], check=False).returncode == 0
