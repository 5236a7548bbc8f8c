"""A server that does not answer at all: its SYNs are dropped. Nobody waits longer than the connect timeout, and nobody who need not."""
import itertools
import time

import pytest

from mesh import asks_leat, flows
from lab import wait_for
from programs import echo, try_connect

pytestmark = asks_leat
_ports = itertools.count(24000)
CONNECT_TIMEOUT_S = 1
NO_ANSWER = "the endpoint did not answer within the connect timeout"
VIP = "10.96.0.88"


@pytest.fixture
def black_hole(shop, far):
    """(pod, port): `far` on a port whose SYNs never arrive, though a program listens."""
    port = next(_ports)
    task = far.spawn(echo, port)
    assert task.hear() == "listening"
    far.run(["nft", "-f", "-"], text_input=f"""
table inet black_hole {{
  chain input {{ type filter hook input priority 0
    tcp dport {port} tcp flags & (syn | ack) == syn drop
  }}
}}
""")
    shop.lab.objects.mesh(connectTimeout=f"{CONNECT_TIMEOUT_S}s")
    yield far, port
    shop.lab.objects.mesh(sameNode="direct")
    far.run(["nft", "delete", "table", "inet", "black_hole"])
    task.kill()


def test_a_black_holed_server_is_a_reset_within_the_connect_timeout_and_flows_says_why(shop, black_hole):
    pod, port = black_hole

    def attempt():
        start = time.monotonic()
        how = shop.frontend.call(try_connect, pod.ipv4, port, 10)
        return how in ("reset", "refused") and time.monotonic() - start < CONNECT_TIMEOUT_S + 1
    wait_for(attempt, "a reset within the connect timeout, which was set just now")
    [*_, said_by_the_servers_node] = flows(shop.b, direction="inbound", destinationPort=port, verdict="failed")
    assert said_by_the_servers_node["reason"] == NO_ANSWER
    [*_, said_by_the_clients_node] = flows(shop.a, direction="outbound", destinationPort=port, verdict="failed")
    assert said_by_the_clients_node["reason"] in (NO_ANSWER, "the destination's node could not reach the application")


def test_with_a_second_endpoint_a_black_holed_one_is_passed_over(shop, black_hole):
    pod, port = black_hole
    other = shop.backends["backend-v2-1"]
    task = other.spawn(echo, port)
    assert task.hear() == "listening"
    objects = shop.lab.objects
    for backend in (pod, other):
        objects.pod(backend, {**backend.labels, "hole": "yes"}, account="backend")
    objects.service("holes", "shop", [VIP], {port: port}, {"hole": "yes"})
    try:
        wait_for(lambda: shop.frontend.call(try_connect, VIP, port) == "ok", "the service is served")

        def passed_over():
            assert shop.frontend.call(try_connect, VIP, port) == "ok"
            return [flow for flow in shop.a.flows() if flow["destinationPort"] == port and flow["attempts"] == 2]
        [flow, *_] = wait_for(passed_over, "a connection for which the black-holed endpoint was chosen first")
        assert flow["verdict"] == "ok" and flow["destinationPod"] == other.name
        assert flow["closedMs"] - flow["openedMs"] < CONNECT_TIMEOUT_S * 1000
    finally:
        objects.remove("service-shop-holes")
        for backend in (pod, other):
            objects.pod(backend, backend.labels, account="backend")
        task.kill()
