"""What trafficPolicy of a DestinationRule does to real connections: who is chosen, who is left out, and how much is let through."""
import contextlib
import json
import re
import select
import signal
import time
from collections import Counter

import pytest

from mesh import asks_leat, flows, metrics
from http_programs import Talk, ask, get, post, response, serve
from lab import wait_for
from programs import connect, reset
from shop import NAMESPACE, enrolled_pods

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
        while (request := talk.head()) is not None:
            if request.header("expect"):
                talk.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            for _ in talk.exactly(int(request.header("content-length") or 0)):
                pass
            broken = request.header("x-broken") == name
            if request.header("x-reset") == name:
                return reset(talk.sock)
            body = str(talk.sock.getpeername()).encode() if request.header("x-port") else name.encode()
            talk.send(response(503 if broken else 200, body))
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
        try:
            with connect(ADDRESS, port) as sock:
                talk = Talk(sock)
                for _ in range(min(each, count - start)):
                    answer = talk.ask(get("/", *headers))
                    seen[answer.status, answer.header("leat-reason") or answer.body.decode()] += 1
        except (OSError, EOFError):
            seen["reset"] += 1
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
    for attempt in range(40):  # all new cookies at one endpoint: less than one in 10^11
        if attempt >= 6 and len(owners) > 1:
            break
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


# ---------------------------------------------------------------- limits

def hold_request(talk):
    """Sends a request that its server has seen and that is not over before the body is sent, which is what is returned."""
    talk.send(post(b"", "Expect: 100-continue").replace(b"Content-Length: 0", b"Content-Length: 4"))
    assert talk.response().status == 100
    return b"body"


def ask_while_one_is_held(count):
    """Sends so many requests, each on its own connection, while another one is under way; how they ended, and how after that one."""
    with contextlib.ExitStack() as stack:
        def talk():
            return Talk(stack.enter_context(connect(ADDRESS, 80)))
        first, others = talk(), [talk() for _ in range(count)]
        rest = hold_request(first)
        for other in others:
            other.send(get())
        watched = {other.sock: other for other in others}
        refused = Counter()
        while len(watched) > 1 or (watched and count == 1):  # all but one that may wait
            for sock in select.select(list(watched), [], [], 20)[0]:
                answer = watched.pop(sock).response()
                refused[answer.status, answer.header("leat-reason")] += 1
        waiting = list(watched.values())
        served = first.ask(rest).status
        return refused, served, [each.response().status for each in waiting]


def test_requests_beyond_the_limit_are_answered_503_at_once_and_counted(policed, rule):
    rule({"connectionPool": {"http": {"http2MaxRequests": 1}}})
    refused, served, _ = policed.frontend.call(ask_while_one_is_held, 1)
    assert refused == {(503, "request-limit"): 1} and served == 200
    assert counted(policed, "leat_overflows_total", destination_service=f"{NAMESPACE}/{NAME}", port="80", limit="requests") >= 1
    assert counted(policed, "istio_requests_total", response_flags="UO", destination_service_name=NAME) >= 1
    assert names(policed, 20, each=1).keys() == {(200, name) for name in policed.backends}


def test_a_request_waits_for_the_only_connection_and_those_that_may_not_wait_are_refused(policed, rule):
    rule({"connectionPool": {"tcp": {"maxConnections": 1}, "http": {"http1MaxPendingRequests": 1}}})
    for _ in range(4):  # the two may be of one worker or of two
        refused, served, waited = policed.frontend.call(ask_while_one_is_held, 5)
        assert refused == {(503, "pending-limit"): 4} and served == 200 and waited == [200]


def open_and_try_one_more(count):
    """Opens so many opaque connections and uses each; whether one more is reset, and whether one is let in when one of them ends."""
    with contextlib.ExitStack() as stack:
        talks = [Talk(stack.enter_context(connect(ADDRESS, 81))) for _ in range(count)]
        used = [each.ask(get()).status for each in talks]
        refused = "reset" in ask_names(1, 81, 1)
        talks[0].sock.close()
        while "reset" in ask_names(1, 81, 1):
            pass
        return used, refused


def test_opaque_connections_beyond_the_limit_are_reset_and_say_why(policed, rule):
    rule({"connectionPool": {"tcp": {"maxConnections": 2}}})
    assert policed.frontend.call(open_and_try_one_more, 2) == ([200, 200], True)
    reason = "the service has as many connections as its DestinationRule allows"
    assert flows(policed.a, reason=reason, destinationService=f"{NAMESPACE}/{NAME}")


def wait_for_the_end(first):
    with connect(ADDRESS, 81) as sock:
        talk, began = Talk(sock), time.monotonic()
        if first:
            assert talk.ask(get()).status == 200
        try:
            talk.rest()
        except ConnectionResetError:
            return time.monotonic() - began
        return None


@pytest.mark.parametrize("limit, reason", [("idleTimeout", "no byte passed for as long as the DestinationRule's idleTimeout"),
                                           ("maxConnectionDuration", "the connection lasted as long as")])
def test_an_opaque_connection_ends_when_it_is_silent_or_old(policed, rule, limit, reason):
    rule({"connectionPool": {"tcp": {limit: "400ms"}}})
    assert policed.frontend.call(wait_for_the_end, True) >= 0.4
    assert any(flow["reason"].startswith(reason) for flow in policed.a.flows())


def connections_of(count):
    """How many connections of the proxy the server saw for so many requests on one connection of ours: it tells its peer's port."""
    with connect(ADDRESS, 80) as sock:
        talk = Talk(sock)
        return len({talk.ask(get("/", "X-Port: yes")).body for _ in range(count)})


def test_a_connection_carries_no_more_requests_than_its_limit(policed, rule):
    rule({"connectionPool": {"http": {"maxRequestsPerConnection": 1}}})
    assert policed.frontend.call(connections_of, 12) == 12


def test_keepalive_probes_are_as_the_rule_has_them(policed, rule):
    rule({"connectionPool": {"tcp": {"tcpKeepalive": {"time": "33s", "interval": "7s", "probes": 4}}},
          "loadBalancer": {"localityLbSetting": {"failoverPriority": ["name=backend-v1-1"]}}})
    with contextlib.ExitStack() as stack:
        task = policed.frontend.spawn(hold_connection)
        stack.callback(task.kill)
        assert task.hear() == 200
        assert "keepalive,3" in policed.frontend.run(["ss", "-tnoH", "dst", policed.backends["backend-v1-1"].ipv4]).stdout


def hold_connection(say):
    with connect(ADDRESS, 81) as sock:
        say(Talk(sock).ask(get()).status)
        signal.pause()


# ---------------------------------------------------------------- tls

def test_tls_disabled_dials_other_nodes_in_plaintext_too(policed, rule):
    rule({"tls": {"mode": "DISABLE"}})
    names(policed, 30, each=1)
    assert flows(policed.a, security="plaintext", path="proxy", destinationPod="backend-v2-1", destinationService=f"{NAMESPACE}/{NAME}")


# ---------------------------------------------------------------- clients

@pytest.fixture
def clients(policed):
    """Pods of the first node: the frontend, one more of its namespace with a label of its own, and one of another namespace."""
    objects = policed.lab.objects
    objects.namespace("guests", enrolled=True)
    guest = policed.a.add_pod("guest", "guests")
    objects.pod(guest, {"app": "guest"})
    with policed.another_pod(policed.a, "picky", labels={"app": "picky"}) as picky:
        wait_for(lambda: "guest" in enrolled_pods(policed.a), "the guest is enrolled")
        yield {"frontend": policed.frontend, "picky": picky, "guest": guest}
    objects.remove("pod-guests-guest")
    guest.delete()
    objects.remove("namespace-guests")


def mine(name, namespace, backend, **spec):
    """A rule whose subset `mine` is that backend."""
    return {"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": {"name": name, "namespace": namespace},
            "spec": {"host": f"{NAME}.{NAMESPACE}.svc.cluster.local", "subsets": [{"name": "mine", "labels": {"name": backend}}], **spec}}


def test_a_rule_holds_for_the_clients_that_it_is_for_and_no_other(policed, clients):
    to_mine = [{"route": [{"destination": {"host": NAME, "subset": "mine"}}]}]
    route = {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": NAME, "namespace": NAMESPACE},
             "spec": {"hosts": [NAME], "http": to_mine, "tcp": to_mine}}
    objects, written = policed.lab.objects, []

    def apply(*rules):
        written[:] = [objects.write("for-clients", route, *rules)]

    def who(client, port):
        return set(clients[client].call(ask_names, 12, port, 3))

    def answered_by(client, port=80):
        answers = who(client, port)
        return answers.pop()[1] if len(answers) == 1 and answers <= {(200, name) for name in policed.backends} else answers

    try:
        apply(mine("own", NAMESPACE, "backend-v1-1"), mine("theirs", "guests", "backend-v1-2"),
              mine("picky", NAMESPACE, "backend-v2-1", workloadSelector={"matchLabels": {"app": "picky"}}))
        wait_for(lambda: answered_by("frontend") == "backend-v1-1", "the rules are in force", interval=0.05)
        for port in (80, 81):
            assert answered_by("frontend", port) == "backend-v1-1"
            assert answered_by("picky", port) == "backend-v2-1"
            assert answered_by("guest", port) == "backend-v1-2"
        [service] = [one for one in json.loads(policed.a.leat("services", "-o", "json").stdout) if one["name"] == NAME]
        assert [(one["rule"], one["clients"]) for one in service["clientRules"]] == [
            ("guests/theirs", "clients in guests"), (f"{NAMESPACE}/picky", f"clients in {NAMESPACE} with app=picky")]

        # Without one of their own the guests have the Service's, and nothing where that is not exported to them.
        apply(mine("own", NAMESPACE, "backend-v1-1"))
        wait_for(lambda: answered_by("guest") == "backend-v1-1", "the guests' rule is gone", interval=0.05)
        assert answered_by("guest", 81) == answered_by("picky") == answered_by("picky", 81) == "backend-v1-1"
        apply(mine("own", NAMESPACE, "backend-v1-1", exportTo=["."]))
        wait_for(lambda: who("guest", 80) == {(503, "no-subset")}, "the rule is the shop's alone", interval=0.05)
        assert who("guest", 81) == {(503, "no-subset")}  # what speaks HTTP there is found out
        assert answered_by("frontend") == answered_by("frontend", 81) == answered_by("picky") == "backend-v1-1"
    finally:
        for path in written:
            path.unlink()
    wait_for(lambda: len(names(policed, 30)) == 3, "nothing is routed any more", interval=0.05)


def test_a_limit_is_that_of_the_clients_whose_rule_has_it_and_the_kernel_does_not_bypass_it(policed, clients):
    limit = mine("theirs", "guests", "backend-v1-1", trafficPolicy={"connectionPool": {"tcp": {"maxConnections": 2}}})
    path = policed.lab.objects.write("for-clients", limit)
    refused = {"rule": "guests/theirs", "limit": "connections", "port": "81"}
    try:
        wait_for(lambda: any(refused.items() <= each["labels"].items() for each in metrics(policed.a)), "the limit is in force", interval=0.05)
        with contextlib.ExitStack() as stack:
            for client in ("frontend", "guest"):
                for _ in range(2):
                    task = clients[client].spawn(hold_connection)
                    stack.callback(task.kill)
                    assert task.hear() == 200
            assert set(clients["guest"].call(ask_names, 5, 81, 1)) == {"reset"}
            assert {status for status, _ in clients["frontend"].call(ask_names, 12, 81, 1)} == {200}
            assert counted(policed, "leat_overflows_total", **refused) == counted(policed, "leat_overflows_total", limit="connections") == 5
    finally:
        path.unlink()
