"""What trafficPolicy of a DestinationRule does to real connections: who is chosen, who is left out, and how much is let through."""
import json
import re
from collections import Counter

import pytest

from mesh import asks_leat, metrics
from http_programs import Talk, ask, get, response, serve
from lab import wait_for
from programs import connect, reset
from shop import NAMESPACE

pytestmark = asks_leat
PORT, ADDRESS, NAME = 9191, "10.96.0.60", "policed"


@pytest.fixture(scope="module")
def policed(shop):
    """The Service of all three backends: HTTP on port 80, opaque on 81. Each tells its name, and answers 503 or resets where the request
    says that it should."""
    programs = []
    for name, pod in shop.backends.items():
        programs.append(pod.spawn(serve, PORT, _telling(name)))
        assert programs[-1].hear() == "listening"
    shop.lab.objects.service(NAME, NAMESPACE, [ADDRESS], {81: PORT}, {"app": "backend"}, http={80: PORT})
    wait_for(lambda: len(names(shop, 30)) == 3, "all three answer", interval=0.1)
    yield shop
    shop.lab.objects.remove(f"service-{NAMESPACE}-{NAME}")
    for program in programs:
        program.kill()


def _telling(name):
    def handle(talk, _):
        while (request := talk.request()) is not None:
            broken = request.header("x-broken") == name
            if request.header("x-reset") == name:
                return reset(talk.sock)
            talk.send(response(503 if broken else 200, name.encode()))
    return handle


@pytest.fixture
def rule(policed):
    """rule(trafficPolicy, **more of spec) writes the DestinationRule, and waits until `leat services` says it."""
    written = []

    def apply(policy, annotations=None, **spec):
        document = {"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
                    "metadata": {"name": NAME, "namespace": NAMESPACE, "annotations": annotations or {}},
                    "spec": {"host": NAME, "trafficPolicy": policy, **spec}}
        before = balancing(policed)
        written[:] = [policed.lab.objects.write("policed", document)]
        wait_for(lambda: balancing(policed) != before, "the policy is in force", interval=0.02)
    yield apply
    for path in written:
        path.unlink()
        wait_for(lambda: balancing(policed) == ["least-request"] * 2, "the policy is gone", interval=0.02)


def balancing(shop):
    services = json.loads(shop.a.leat("services", "-o", "json").stdout)
    return [port["loadBalancing"] for service in services if service["name"] == NAME for port in service["ports"]]


def ask_names(count, port, each, *headers):
    """Counts of (status, who) over so many requests, on a new connection after `each`."""
    seen = Counter()
    for start in range(0, count, each):
        with connect(ADDRESS, port) as sock:
            talk = Talk(sock)
            for _ in range(min(each, count - start)):
                try:
                    answer = talk.ask(get("/", *headers))
                except (OSError, EOFError):
                    seen["reset"] += 1
                    break
                seen[answer.status, answer.body.decode() if answer.status == 200 or answer.header("leat-reason") is None
                     else answer.header("leat-reason")] += 1
    return seen


def names(shop, count, *headers, port=80, each=1 << 30):
    return shop.frontend.call(ask_names, count, port, each, *headers)


def counted(shop, name, **labels):
    return sum(each["value"] for each in metrics(shop.a) if each["name"] == name and labels.items() <= each["labels"].items())


# ---------------------------------------------------------------- outliers

def test_an_endpoint_that_answers_503_is_left_out_for_the_base_ejection_time(policed, rule):
    rule({"outlierDetection": {"consecutive5xxErrors": 3, "interval": "100ms", "baseEjectionTime": "2s", "maxEjectionPercent": 50}})
    before = counted(policed, "leat_ejections_total", destination_service=f"{NAMESPACE}/{NAME}", port="80")
    retried = counted(policed, "leat_http_retries_total")
    seen = names(policed, 100, "X-Broken: backend-v2-1")
    assert seen[200, "backend-v1-1"] + seen[200, "backend-v1-2"] == 100, seen
    assert counted(policed, "leat_http_retries_total") == retried + 3, "each 503 was answered by another endpoint"
    assert counted(policed, "leat_ejections_total", destination_service=f"{NAMESPACE}/{NAME}", port="80") == before + 1
    assert "is left out for 2000 ms after 3 answers of 5xx" in policed.a.proxy.text()
    wait_for(lambda: (200, "backend-v2-1") in names(policed, 20), "it is asked again", interval=0.1)
    assert names(policed, 30)[200, "backend-v2-1"] > 0


def test_no_more_endpoints_are_left_out_than_max_ejection_percent_allows(policed, rule):
    rule({"outlierDetection": {"consecutive5xxErrors": 1, "baseEjectionTime": "60s", "maxEjectionPercent": 40}})
    for broken in policed.backends:
        names(policed, 30, f"X-Broken: {broken}")
    assert len(names(policed, 60)) == 2  # one of three is a third, two would be two thirds


def test_a_server_that_resets_opaque_connections_is_left_out_and_the_kernel_does_not_bypass_that(policed, rule):
    rule({"outlierDetection": {"consecutive5xxErrors": 2, "baseEjectionTime": "60s", "maxEjectionPercent": 50}})
    seen = names(policed, 60, "X-Reset: backend-v1-1", port=81, each=1)
    assert seen["reset"] == 2 and (200, "backend-v1-1") not in seen, seen


# ---------------------------------------------------------------- consistent hash

def test_a_header_keeps_requests_at_one_endpoint_on_whatever_connection(policed, rule):
    rule({"loadBalancer": {"consistentHash": {"httpHeaderName": "X-User"}}})
    owners = [names(policed, 8, f"X-User: user-{number}", each=1) for number in range(12)]
    assert all(len(owner) == 1 for owner in owners), owners
    assert len(set().union(*owners)) > 1


def test_a_cookie_is_made_once_and_keeps_its_bearer_at_one_endpoint(policed, rule):
    rule({"loadBalancer": {"consistentHash": {"httpCookie": {"name": "user", "path": "/", "ttl": "60s"}, "maglev": {}}}})
    owners = set()
    for _ in range(6):
        first = policed.frontend.call(ask, ADDRESS, 80, get("/"))
        made = re.fullmatch(r'(user="[0-9a-f]{16}"); Max-Age=60; Path=/; HttpOnly', first.header("set-cookie"))
        assert made, first.headers
        again = policed.frontend.call(ask, ADDRESS, 80, get("/", f"Cookie: a=b; {made[1]}"))
        assert again.header("set-cookie") is None
        assert names(policed, 8, f"Cookie: {made[1]}", each=1) == {(200, first.body.decode()): 8}
        owners.add(first.body)
    assert len(owners) > 1


def test_a_source_address_keeps_opaque_connections_at_one_endpoint(policed, rule):
    rule({"loadBalancer": {"consistentHash": {"useSourceIp": True}}})
    assert len(names(policed, 12, port=81, each=1)) == 1


# ---------------------------------------------------------------- locality

@pytest.fixture
def zones(policed):
    """The two nodes are in two zones of one region."""
    objects = policed.lab.objects
    for node, zone in ((policed.a, "eu-1"), (policed.b, "eu-2")):
        objects.write(f"node-{node.name}", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node.name, "labels": {
            "topology.kubernetes.io/region": "eu", "topology.kubernetes.io/zone": zone}}})
    yield
    for node in policed.lab.nodes:
        objects.node(node)


@pytest.mark.parametrize("port", [80, 81], ids=["http", "opaque"])
def test_the_nearest_zone_gets_everything_until_it_fails(policed, zones, rule, port):
    rule({"loadBalancer": {"localityLbSetting": {"enabled": True}},
          "outlierDetection": {"consecutive5xxErrors": 1, "baseEjectionTime": "1s", "maxEjectionPercent": 100}})
    assert names(policed, 30, port=port, each=5) == {(200, "backend-v1-1"): 30}
    seen = names(policed, 30, "X-Reset: backend-v1-1", port=port, each=1)
    assert set(seen) & {(200, "backend-v1-2"), (200, "backend-v2-1")} and (200, "backend-v1-1") not in seen, seen
    wait_for(lambda: names(policed, 10, port=port, each=1) == {(200, "backend-v1-1"): 10}, "the nearest is back", interval=0.1)


def test_shares_of_zones_hold_whatever_the_number_of_their_endpoints(policed, zones, rule):
    rule({"loadBalancer": {"localityLbSetting": {"distribute": [{"from": "eu/eu-1/*", "to": {"eu/eu-1/*": 80, "eu/eu-2/*": 20}}]}}})
    seen = names(policed, 1000)
    assert abs(seen[200, "backend-v1-1"] - 800) < 70, seen  # 5.5 standard deviations
