"""ServiceEntries: a host that Kubernetes knows nothing of is a Service like others, with routes of its own."""
import pytest

from mesh import asks_leat, requests_counted
from http_programs import ask, get, serve
from lab import wait_for
from shop import NAMESPACE
from test_routes import echo, seen

pytestmark = asks_leat
PORT, ADDRESS, HOST = 9088, "192.0.2.10", "api.example.com"


def service_entry(endpoint, resolution="STATIC"):
    return {"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": {"name": "api", "namespace": NAMESPACE},
            "spec": {"hosts": [HOST], "addresses": [ADDRESS], "resolution": resolution, "endpoints": [{"address": endpoint, "ports": {"http": PORT}}],
                     "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}]}}


@pytest.fixture(params=["in-the-mesh", "outside"])
def endpoint(request, shop, far):
    """A pod that serves the host: one of the mesh on the other node, or one outside."""
    pod = far if request.param == "in-the-mesh" else shop.visitor
    program = pod.spawn(serve, PORT, echo)
    assert program.hear() == "listening"
    yield pod
    program.kill()


def test_requests_to_the_address_of_an_entry_go_to_its_endpoint_by_its_routes(shop, endpoint):
    route = {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "api", "namespace": NAMESPACE},
             "spec": {"hosts": [HOST], "http": [
                 {"match": [{"uri": {"exact": "/here"}}], "directResponse": {"status": 418}},
                 {"headers": {"request": {"set": {"x-route": "api"}}}, "route": [{"destination": {"host": HOST}}]}]}}
    path = shop.lab.objects.write("entry", service_entry(endpoint.ipv4), route)
    try:
        wait_for(lambda: HOST in shop.a.leat("services").stdout, "the entry is a Service")

        def answered():
            try:
                return shop.frontend.call(ask, ADDRESS, 80, get("/here", host=HOST)).status == 418
            except Exception:  # connections to the address are not captured yet, and nobody else has it
                return False
        wait_for(answered, "the routes are in force", timeout=20)
        first, headers = seen(shop.frontend.call(ask, ADDRESS, 80, get("/there", host=HOST)))
        assert first == "GET /there HTTP/1.1" and headers["x-route"] == ["api"] and headers["host"] == [HOST]
        assert requests_counted(shop.a, response_code="200", destination_service_name=HOST) >= 1
    finally:
        path.unlink()
