"""GRPCRoutes by a real gRPC pair, and an HTTPRoute of a consumer's namespace by its clients."""
import pytest

from grpc_programs import call, call_many, serve_calls
from http_programs import ask, get
from lab import wait_for
from mesh import asks_leat
from shop import NAMESPACE
from test_gateway_routes import http_route, modifier
from test_routes import echo, seen

pytestmark = asks_leat
RPC, PORT = "10.96.0.72", 50061


@pytest.fixture(scope="module")
def rpc(shop):
    """The gRPC Services rpc (all backends), rpc-v1 and rpc-v2."""
    objects, programs = shop.lab.objects, []
    for pod in shop.backends.values():
        programs.append(pod.spawn(serve_calls, PORT, pod.labels["version"]))
        assert programs[-1].hear() == "listening"
    objects.service("rpc", NAMESPACE, [RPC], {}, {"app": "backend"}, grpc={PORT: PORT})
    for number, version in enumerate(("v1", "v2")):
        objects.service(f"rpc-{version}", NAMESPACE, [f"10.96.0.{73 + number}"], {}, {"app": "backend", "version": version}, grpc={PORT: PORT})
    wait_for(lambda: shop.frontend.call(call, RPC, PORT, "Unary")[0] == "OK", "the Service answers calls", interval=0.1)
    yield shop
    for name in ("rpc", "rpc-v1", "rpc-v2"):
        objects.remove(f"service-{NAMESPACE}-{name}")
    for program in programs:
        program.kill()


@pytest.fixture
def grpc_route(rpc):
    def apply(until, *rules):
        rpc.lab.objects.write("grpc-route", {
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "GRPCRoute", "metadata": {"name": "rpc", "namespace": NAMESPACE},
            "spec": {"parentRefs": [{"group": "", "kind": "Service", "name": "rpc"}], "rules": list(rules)}})
        wait_for(until, "the route is in force", interval=0.05)
    yield apply
    rpc.lab.objects.remove("grpc-route")
    wait_for(lambda: not any(each["host"] == "rpc" for each in rpc.routes()), "no route is left")


def backends(**weights):
    return [{"name": f"rpc-{version}", "port": PORT, "weight": weight} for version, weight in weights.items()]


def method(name):
    return {"method": {"service": "test.Calls", "method": name}}


def who(rpc, count=6):
    return set(rpc.frontend.call(call_many, RPC, PORT, count))


def test_calls_of_a_method_go_where_its_rule_leads_and_others_do_not(rpc, grpc_route):
    grpc_route(lambda: who(rpc) == {"v2"}, {"matches": [method("Unary")], "backendRefs": backends(v2=1)})
    status, message, *_ = rpc.frontend.call(call, RPC, PORT, "Fail", b"NOT_FOUND")
    assert status == "UNIMPLEMENTED", message  # no rule is for it: 404, as gRPC reads it
    grpc_route(lambda: who(rpc) == {"v1"}, {"matches": [method("Unary")], "backendRefs": backends(v1=1)},
               {"backendRefs": backends(v2=1)})
    assert rpc.frontend.call(call, RPC, PORT, "Fail", b"NOT_FOUND")[0] == "NOT_FOUND"


def test_calls_of_one_connection_are_split_by_weight(rpc, grpc_route):
    grpc_route(lambda: who(rpc) == {"v2"}, {"backendRefs": backends(v2=1)})
    grpc_route(lambda: who(rpc, 20) == {"v1", "v2"}, {"backendRefs": backends(v1=80, v2=20)})
    counts = rpc.frontend.call(call_many, RPC, PORT, 500)
    assert set(counts) == {"v1", "v2"} and abs(counts["v1"] - 400) < 45  # 5 standard deviations


def test_a_route_of_the_clients_namespace_holds_for_that_one_alone(shop, sites):
    site = sites["same-node"]
    site.serve(echo)
    objects = shop.lab.objects
    objects.namespace("guests", enrolled=True)
    guest = shop.a.add_pod("guest", "guests")
    try:
        objects.pod(guest)
        wait_for(lambda: any("guest" in line and "enrolled" in line for line in shop.a.leat("pods").stdout.splitlines()), "the guest is enrolled")
        rules = [{"filters": [modifier(set={"x-consumer": "guests"})],
                  "backendRefs": [{"name": site.name, "namespace": NAMESPACE, "port": site.port}]}]
        grant = {"apiVersion": "gateway.networking.k8s.io/v1beta1", "kind": "ReferenceGrant", "metadata": {"name": "guests", "namespace": NAMESPACE},
                 "spec": {"from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "guests"}],
                          "to": [{"group": "", "kind": "Service"}]}}
        objects.write("consumer", http_route("consumer", site.name, rules, namespace="guests"), grant)

        def of(pod):
            return seen(pod.call(ask, site.address, site.port, get()))[1].get("x-consumer")
        wait_for(lambda: of(guest) == ["guests"], "the guests' route holds for them", interval=0.05)
        assert of(shop.frontend) is None
    finally:
        objects.remove("consumer")
        objects.remove("pod-guests-guest")
        guest.delete()
        objects.remove("namespace-guests")
        site.end()
