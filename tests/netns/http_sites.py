"""HTTP servers of tests, each behind a Service of its own on the caller's node or on the other one."""
import itertools

from http_programs import answering, ask, get, ok, serve
from lab import wait_for
from mesh import no_flows
from shop import NAMESPACE

PORTS = range(9100, 9180)  # that the servers' Services declare as HTTP
_unused = itertools.cycle(PORTS)  # one test's connections are none of the next one's


class Site:
    """A Service of one pod, and the test's server in it."""

    def __init__(self, shop, name, address, pod):
        self.shop, self.name, self.address, self.pod = shop, name, address, pod
        self._servers = []

    def serve(self, handle):
        """Starts a server on a port that no other test uses; what it says is heard from what this returns."""
        self.new_port()
        server = self.pod.spawn(serve, self.port, handle)
        assert server.hear() == "listening"
        self._servers.append(server)
        return server

    def new_port(self):
        self.port = next(_unused)
        return self.port

    def call(self, function, *arguments, timeout=60):
        """function(address, port, *arguments) as a program of the caller."""
        return self.shop.frontend.call(function, self.address, self.port, *arguments, timeout=timeout)

    def end(self):
        while self._servers:
            self._servers.pop().kill()


def await_http(site):
    def is_http():
        assert site.call(ask, get()).status == 200
        return not no_flows(site.shop.a, protocol="http/1.1", destinationService=f"{NAMESPACE}/{site.name}")
    site.serve(answering(lambda request: ok()))
    wait_for(is_http, f"{site.name} is served as HTTP", interval=0.1)
    site.end()


def routed(http, host, annotations=None):
    """A VirtualService of these routes."""
    return {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "metadata": {"name": host, "namespace": NAMESPACE, "annotations": annotations or {}}, "spec": {"hosts": [host], "http": http}}
