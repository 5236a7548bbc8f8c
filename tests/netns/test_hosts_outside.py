"""ServiceEntries by name: the agent resolves their hosts, what stands at one address is told apart by what is spoken, and what the mesh
knows nothing of is passed on to the address that the application asked for."""
import json
import os

import pytest

from dns_server import serve_dns
from http_programs import ask, get, ok, serve
from lab import wait_for
from mesh import PLAIN, asks_leat, running_shop
from shop import NAMESPACE
from tls_programs import Authority, s_server, subject_seen

pytestmark = asks_leat
DNS_PORT, PORT, TLS_PORT = 5353, 80, 443


def named(talk, say):
    while (request := talk.request()) is not None:
        talk.send(ok(os.environ["SERVER"].encode() + b" " + (request.header("host") or "").encode()))


def serve_named(say, port, name):
    os.environ["SERVER"] = name
    serve(say, port, named)


class Zone:
    def __init__(self, path):
        self.path = path
        self.write()

    def write(self, silent=False, **hosts):
        text = json.dumps({"": "silent"} if silent else {host.replace("_", "."): records for host, records in hosts.items()})
        temporary = self.path.with_suffix(".new")
        temporary.write_text(text)
        temporary.rename(self.path)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A shop whose agents ask a DNS server of the test, and two machines that the mesh has no object of."""
    if PLAIN:
        pytest.skip("asks Leat")
    with running_shop() as shop:
        folder = tmp_path_factory.mktemp("world")
        shop.zone = Zone(folder / "zone.json")
        shop.one, shop.two = (shop.b.add_pod(name, "nowhere") for name in ("one", "two"))
        dns = shop.two.spawn(serve_dns, DNS_PORT, str(shop.zone.path))
        assert dns.hear() == "listening"
        authority, programs = Authority(folder), [dns]
        for pod in (shop.one, shop.two):
            for port in (PORT, 8081):
                programs.append(pod.spawn(serve_named, port, pod.name))
                assert programs[-1].hear() == "listening"
            programs.append(s_server(pod, TLS_PORT, *authority.issue(pod.name)))
        for node in shop.lab.nodes:
            node.agent.terminate()
            node.start_agent(dns={"servers": [f"{shop.two.ipv4}:{DNS_PORT}"]})
        for node in shop.lab.nodes:
            node.wait_ready()
        yield shop
        for program in programs:
            program.kill()


def entry(name, hosts, resolution="DNS", addresses=(), endpoints=(), **spec):
    ports = [{"number": PORT, "name": "http", "protocol": "HTTP"}, {"number": TLS_PORT, "name": "tls", "protocol": "TLS"}]
    return {"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {"hosts": hosts, "resolution": resolution, "ports": ports, **({"addresses": list(addresses)} if addresses else {}),
                     **({"endpoints": [{"address": address} for address in endpoints]} if endpoints else {}), **spec}}


def answered_here(host, path="/here"):
    """A VirtualService that answers one path itself: so is seen that the host's requests pass the proxy."""
    return {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": host.replace("*", "any"), "namespace": NAMESPACE},
            "spec": {"hosts": [host], "http": [{"match": [{"uri": {"exact": path}}], "directResponse": {"status": 418}},
                                               {"route": [{"destination": {"host": host}}]}]}}


def asked(world, address, host, path="/"):
    """The status and the body of an answer, or what failed."""
    try:
        answer = world.frontend.call(ask, address, PORT, get(path, host=host))
        return answer.status, answer.body.decode()
    except (OSError, EOFError, AssertionError) as error:
        return type(error).__name__, ""


@pytest.fixture
def objects(world):
    def apply(*documents):
        world.lab.objects.write("outside", *documents)
    yield apply
    world.lab.objects.remove("outside")
    wait_for(lambda: "example" not in world.a.leat("services").stdout, "the entries are gone")


def await_answer(world, address, host, expected, path="/"):
    wait_for(lambda: asked(world, address, host, path) == expected, f"{host} answers {expected}", timeout=20, interval=0.1)


def test_a_host_is_resolved_its_requests_are_routed_and_its_next_address_too(world, objects):
    world.zone.write(api_example_com={"A": [world.one.ipv4], "ttl": 1})
    objects(entry("api", ["api.example.com"]), answered_here("api.example.com"))
    await_answer(world, world.one.ipv4, "api.example.com", (418, ""), "/here")
    assert asked(world, world.one.ipv4, "api.example.com") == (200, "one api.example.com")
    world.zone.write(api_example_com={"A": [world.two.ipv4], "ttl": 1})
    await_answer(world, world.two.ipv4, "api.example.com", (418, ""), "/here")
    assert asked(world, world.two.ipv4, "api.example.com") == (200, "two api.example.com")


def test_a_host_of_ipv6_is_resolved_and_followed_too(world, objects):
    world.zone.write(api_example_com={"AAAA": [world.one.ipv6], "ttl": 1})
    objects(entry("api", ["api.example.com"]), answered_here("api.example.com"))
    await_answer(world, world.one.ipv6, "api.example.com", (418, ""), "/here")
    assert asked(world, world.one.ipv6, "api.example.com") == (200, "one api.example.com")
    world.zone.write(api_example_com={"A": [world.one.ipv4], "AAAA": [world.two.ipv6], "ttl": 1})
    await_answer(world, world.two.ipv6, "api.example.com", (418, ""), "/here")
    assert asked(world, world.two.ipv6, "api.example.com") == (200, "two api.example.com")
    await_answer(world, world.one.ipv4, "api.example.com", (418, ""), "/here")  # of both families


def test_a_port_that_the_entry_does_not_say_is_passed_on(world, objects):
    world.zone.write(api_example_com={"A": [world.one.ipv4]})
    objects(entry("api", ["api.example.com"]), answered_here("api.example.com"))
    await_answer(world, world.one.ipv4, "api.example.com", (418, ""), "/here")
    answer = world.frontend.call(ask, world.one.ipv4, 8081, get("/here", host="api.example.com"))
    assert (answer.status, answer.body) == (200, b"one api.example.com")


def test_an_address_of_its_own_leads_to_endpoints_by_name_and_follows_them(world, objects):
    world.zone.write(behind_example_net={"A": [world.one.ipv4], "ttl": 1})
    objects(entry("api", ["api.example.com"], addresses=["192.0.2.50"], endpoints=["behind.example.net"]))
    await_answer(world, "192.0.2.50", "api.example.com", (200, "one api.example.com"))
    world.zone.write(behind_example_net={"A": [world.two.ipv4], "ttl": 1})
    await_answer(world, "192.0.2.50", "api.example.com", (200, "two api.example.com"))


def test_the_last_good_answer_holds_while_the_resolver_is_away_and_no_host_is_no_endpoint(world, objects):
    world.zone.write(behind_example_net={"A": [world.one.ipv4], "ttl": 1})
    objects(entry("api", ["api.example.com"], addresses=["192.0.2.50"], endpoints=["behind.example.net"]))
    await_answer(world, "192.0.2.50", "api.example.com", (200, "one api.example.com"))
    world.zone.write(silent=True)
    wait_for(lambda: "gave no answer" in world.a.agent.text(), "the agent has asked in vain", timeout=30, interval=0.2)
    assert asked(world, "192.0.2.50", "api.example.com") == (200, "one api.example.com")
    world.zone.write()
    wait_for(lambda: asked(world, "192.0.2.50", "api.example.com")[0] == 503, "there is no such host", timeout=60, interval=0.2)


def test_hosts_of_one_address_are_told_apart_by_host_and_by_sni(world, objects):
    both = ["192.0.2.60"]
    objects(entry("a", ["a.example.com"], "STATIC", both, [world.one.ipv4]), entry("b", ["b.example.com"], "STATIC", both, [world.two.ipv4]),
            entry("wild", ["*.w.example.com"], "STATIC", both, [world.two.ipv4]))
    await_answer(world, "192.0.2.60", "b.example.com", (200, "two b.example.com"))
    assert asked(world, "192.0.2.60", "A.example.com:80") == (200, "one A.example.com:80")
    assert asked(world, "192.0.2.60", "x.w.example.com") == (200, "two x.w.example.com")
    seen = {name: subject_seen(world.frontend, "192.0.2.60", TLS_PORT, name) for name in ("a.example.com", "b.example.com", "y.w.example.com")}
    assert seen == {"a.example.com": "one", "b.example.com": "two", "y.w.example.com": "two"}


def test_what_no_entry_says_at_a_shared_address_is_passed_on(world, objects):
    shared = {"A": [world.one.ipv4]}
    world.zone.write(a_example_com=shared, b_example_com=shared)
    objects(entry("a", ["a.example.com"]), entry("b", ["b.example.com"]), answered_here("a.example.com"), answered_here("b.example.com", "/b"))
    await_answer(world, world.one.ipv4, "a.example.com", (418, ""), "/here")
    await_answer(world, world.one.ipv4, "b.example.com", (418, ""), "/b")
    assert asked(world, world.one.ipv4, "b.example.com", "/here") == (200, "one b.example.com")
    assert asked(world, world.one.ipv4, "c.example.com", "/here") == (200, "one c.example.com")
    assert subject_seen(world.frontend, world.one.ipv4, TLS_PORT, "c.example.com") == "one"


def test_none_passes_each_connection_on_to_the_address_that_it_asked_for(world, objects):
    objects(entry("any", ["*.any.example.com"], "NONE", [world.one.ipv4, world.two.ipv4]), answered_here("*.any.example.com"))
    await_answer(world, world.one.ipv4, "x.any.example.com", (418, ""), "/here")
    for _ in range(5):
        assert asked(world, world.one.ipv4, "x.any.example.com") == (200, "one x.any.example.com")
        assert asked(world, world.two.ipv4, "x.any.example.com") == (200, "two x.any.example.com")


def test_an_entry_holds_for_the_namespaces_that_it_is_exported_to(world, objects):
    objects(entry("api", ["api.example.com"], "STATIC", [world.one.ipv4], [world.two.ipv4], exportTo=["elsewhere"]),
            entry("probe", ["probe.example.com"], "STATIC", ["192.0.2.70"], [world.one.ipv4]))
    await_answer(world, "192.0.2.70", "probe.example.com", (200, "one probe.example.com"))
    assert asked(world, world.one.ipv4, "api.example.com") == (200, "one api.example.com")


def test_lint_names_hosts_that_no_connection_can_reach(world, objects):
    objects(entry("none", ["none.example.com"], "STATIC", endpoints=[world.one.ipv4]), entry("wild", ["*.example.org"]))
    told = world.a.leat("lint", str(world.lab.objects.folder), check=False).stdout
    assert "'none.example.com' has no address" in told and "a wildcard can't be resolved" in told


def test_a_passthrough_rule_leaves_the_choice_to_who_asked(world, objects):
    rule = {"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": {"name": "api", "namespace": NAMESPACE},
            "spec": {"host": "api.example.com", "trafficPolicy": {"loadBalancer": {"simple": "PASSTHROUGH"}}}}
    objects(entry("api", ["api.example.com"], "STATIC", [world.one.ipv4], [world.two.ipv4]), answered_here("api.example.com"))
    await_answer(world, world.one.ipv4, "api.example.com", (200, "two api.example.com"))
    objects(entry("api", ["api.example.com"], "STATIC", [world.one.ipv4], [world.two.ipv4]), answered_here("api.example.com"), rule)
    await_answer(world, world.one.ipv4, "api.example.com", (200, "one api.example.com"))
