"""VirtualService `tcp` and `tls`: connections whose bytes nobody looks at, split by weight, and TLS of applications by the name in its hello."""
import threading
from collections import Counter

import pytest

from mesh import asks_leat, flows, metrics
from programs import connect, listen, read_all
from lab import wait_for
from shop import NAMESPACE
from tls_programs import Authority, first_bytes_after, large_hello, late_hello, s_server, subject_by_pieces, subject_seen

pytestmark = asks_leat
DB, DB_PORT, DB_OTHER_PORT, TLS_PORT = "10.96.0.71", 5432, 5433, 8443


def announce(say, port, name):
    """Answers the first bytes of each connection with its name."""
    server = listen(port)
    say("listening")

    def run(client):
        with client:
            if client.recv(100):
                client.sendall(name.encode())
    while True:
        threading.Thread(target=run, args=[server.accept()[0]], daemon=True).start()


def names_of(address, port, count=1):
    """Who answered how many of so many connections; what failed by its error's name."""
    names = Counter()
    for _ in range(count):
        try:
            sock = connect(address, port)
            sock.sendall(b"?")
            names[read_all(sock).decode()] += 1
        except OSError as error:
            names[type(error).__name__] += 1
    return names


def virtual_service(name, **spec):
    return {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {"hosts": ["db"], **spec}}


def to(subset, weight=None, **more):
    destination = {"destination": {"host": "db", "subset": subset, **more}}
    return destination if weight is None else {**destination, "weight": weight}


RULE = {"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": {"name": "db", "namespace": NAMESPACE},
        "spec": {"host": "db", "subsets": [{"name": version, "labels": {"version": version}} for version in ("v1", "v2")]}}


@pytest.fixture(scope="module")
def db(shop, tmp_path_factory):
    """A Service of all backends, whose programs say which version they are: by port, and by certificate."""
    authority = Authority(tmp_path_factory.mktemp("certificates"))
    programs = []
    for name, pod in shop.backends.items():
        version = pod.labels["version"]
        for port in (DB_PORT, DB_OTHER_PORT):
            program = pod.spawn(announce, port, f"{version}:{port}")
            assert program.hear() == "listening"
            programs.append(program)
        programs.append(s_server(pod, TLS_PORT, *authority.issue(version)))
    ports = {"tcp": (DB_PORT, DB_PORT), "tcp-other": (DB_OTHER_PORT, DB_OTHER_PORT), "tls": (TLS_PORT, TLS_PORT)}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "db", "namespace": NAMESPACE},
               "spec": {"clusterIP": DB, "selector": {"app": "backend"},
                        "ports": [{"name": name, "port": port, "targetPort": target} for name, (port, target) in ports.items()]}}
    shop.lab.objects.write("db", service, RULE)
    wait_for(lambda: set(shop.frontend.call(names_of, DB, DB_PORT, 20)) == {f"v1:{DB_PORT}", f"v2:{DB_PORT}"}, "the Service is in force")
    yield shop
    for program in programs:
        program.kill()
    shop.lab.objects.remove("db")


@pytest.fixture
def route(db):
    """apply(until, **spec): a VirtualService that is in force on return, when `until` says so."""
    def apply(until, **spec):
        db.lab.objects.write("db-route", virtual_service("db", **spec))
        wait_for(until, "the routes are in force", interval=0.05)
    yield apply
    db.lab.objects.remove("db-route")
    wait_for(lambda: not any(each["host"] == "db" for each in db.routes()), "no route is left")


def only(db, expected, port=DB_PORT):
    return lambda: set(db.frontend.call(names_of, DB, port, 8)) == {expected}


def direct(db):
    return sum(flow["path"] == "direct" and flow["requestedAddress"] == DB and flow["requestedPort"] == DB_PORT for flow in db.a.flows())


def test_connections_are_split_by_weight_and_none_fails(db, route):
    route(only(db, f"v2:{DB_PORT}"), tcp=[{"route": [to("v2")]}])
    route(lambda: len(db.frontend.call(names_of, DB, DB_PORT, 10)) == 2, tcp=[{"route": [to("v1", 75), to("v2", 25)]}])
    before = direct(db)
    names = db.frontend.call(names_of, DB, DB_PORT, 400)
    assert set(names) == {f"v1:{DB_PORT}", f"v2:{DB_PORT}"} and abs(names[f"v1:{DB_PORT}"] - 300) < 45  # 5 standard deviations
    assert direct(db) <= before  # none passed by the proxy


def test_a_connection_takes_the_first_route_whose_conditions_all_hold(db, route):
    entries = [{"match": [{"port": DB_PORT, "sourceLabels": {"app": "nobody"}}], "route": [to("v1")]},
               {"match": [{"destinationSubnets": ["10.97.0.0/16"]}, {"sourceNamespace": "default"}], "route": [to("v1")]},
               {"match": [{"port": DB_PORT, "destinationSubnets": [f"{DB}/32"], "sourceLabels": {"app": "frontend"},
                           "sourceNamespace": NAMESPACE}], "route": [to("v2", port={"number": DB_OTHER_PORT})]}]
    route(only(db, f"v2:{DB_OTHER_PORT}"), tcp=entries)
    # No entry is for the other port: its connections go to the Service's endpoints, as before.
    assert set(db.frontend.call(names_of, DB, DB_OTHER_PORT, 20)) == {f"v1:{DB_OTHER_PORT}", f"v2:{DB_OTHER_PORT}"}


def test_a_route_that_leads_nowhere_resets_and_says_why(db, route):
    route(lambda: "ConnectionResetError" in db.frontend.call(names_of, DB, DB_PORT), tcp=[{"route": [to("v3")]}])
    flow = flows(db.a, verdict="failed", requestedAddress=DB)[-1]
    assert "subset" in flow["reason"]


NAMES = [{"match": [{"port": TLS_PORT, "sniHosts": ["one.example.com"]}], "route": [to("v1")]},
         {"match": [{"port": TLS_PORT, "sniHosts": ["*.two.example.com"]}], "route": [to("v2")]}]


def hellos(node, result):
    return sum(each["value"] for each in metrics(node) if each["name"] == "leat_client_hellos_total" and each["labels"]["result"] == result)


def seen_of(db, name, count=6):
    return {subject_seen(db.frontend, DB, TLS_PORT, name) for _ in range(count)}


def test_tls_of_applications_goes_by_its_name_and_passes_through(db, route):
    route(lambda: seen_of(db, "one.example.com") == {"v1"}, tls=NAMES)
    assert seen_of(db, "One.Example.com") == {"v1"}
    assert seen_of(db, "a.two.example.com") == {"v2"} and seen_of(db, "a.b.two.example.com") == {"v2"}
    before = hellos(db.a, "unnamed")
    assert seen_of(db, "two.example.com", 12) <= {"v1", "v2"}  # "*." stands for a label at least
    assert seen_of(db, None, 2) <= {"v1", "v2"}
    assert hellos(db.a, "unnamed") == before + 2


@pytest.mark.parametrize("size", [1, 7, 300])
def test_a_hello_in_pieces_has_a_name_too(db, route, size):
    route(lambda: seen_of(db, "one.example.com", 2) == {"v1"}, tls=[NAMES[0], {"match": [{"sniHosts": ["*"]}], "route": [to("v3")]}])
    before = hellos(db.a, "named")
    assert db.frontend.call(subject_by_pieces, DB, TLS_PORT, "one.example.com", size)
    assert hellos(db.a, "named") == before + 1


@pytest.mark.parametrize("client, more, result", [(late_hello, [1], "late"), (large_hello, [], "too-large")], ids=["late", "large"])
def test_a_hello_that_is_not_waited_for_passes_through_as_one_without_a_name(db, route, client, more, result):
    # A name of any kind would lead to a subset that is not there, and to a reset.
    route(lambda: all(each.startswith("nobody") for each in seen_of(db, "one.example.com", 2)),
          tls=[{"match": [{"port": TLS_PORT, "sniHosts": ["*"]}], "route": [to("v3")]}])
    before, named = hellos(db.a, result), hellos(db.a, "named")
    assert db.frontend.call(client, DB, TLS_PORT, "one.example.com", *more)
    assert (hellos(db.a, result), hellos(db.a, "named")) == (before + 1, named)


def test_what_is_no_hello_goes_on_without_a_name_and_is_counted(db, route):
    route(lambda: seen_of(db, "one.example.com", 2) == {"v1"}, tls=NAMES)
    before = hellos(db.a, "not-tls")
    assert db.frontend.call(first_bytes_after, DB, TLS_PORT, b"\x16\x03\x01\x00\x05nonse")  # s_server's alert
    assert hellos(db.a, "not-tls") == before + 1


def test_routes_are_shown_with_the_object_that_they_come_from(db, route):
    route(lambda: seen_of(db, "one.example.com", 2) == {"v1"}, tls=NAMES)
    shown = db.a.leat("routes").stdout
    assert "sni=*.two.example.com" in shown and "VirtualService shop/db" in shown
