"""The shop: the small application that the demo shows and that most end-to-end tests use. Two nodes; a frontend and two backends of
version v1 and one of v2 spread over both; a visitor whose namespace never joins the mesh. The backends have one Service with two ports to
the same program: `http`, and `tcp`, whose bytes nobody looks at."""
import contextlib
import json
import signal
from pathlib import Path

from lab import wait_for
from lab.services import VirtualService

_HERE = Path(__file__).resolve().parent
BACKEND_VIP, BACKEND_VIP6, BACKEND_PORT, BACKEND_TCP_PORT = "10.96.0.10", "fd00:96::10", 8080, 8081
NAMESPACE = "shop"


class Shop:
    """Its pods run and its objects are written; Leat is started, and nothing is enrolled yet, unless told otherwise."""

    def __init__(self, lab, start_leat=True):
        self.lab = lab
        self.a, self.b = lab.add_node("node-a"), lab.add_node("node-b")
        self.frontend = self.a.add_pod("frontend", NAMESPACE)
        self.visitor = self.b.add_pod("visitor", "default")
        self.backends = {}
        for name, node, version in (("backend-v1-1", self.a, "v1"), ("backend-v1-2", self.b, "v1"), ("backend-v2-1", self.b, "v2")):
            self._add_backend(name, node, version)
        self._write_objects()
        for node in lab.nodes:
            node.serve_virtual_addresses(self.services)
        lab.add_host_name("backend", BACKEND_VIP)
        if start_leat:
            for node in lab.nodes:
                node.start_leat()
            for node in lab.nodes:
                node.wait_ready()

    def _add_backend(self, name, node, version):
        pod = node.add_pod(name, NAMESPACE)
        pod.labels = {"app": "backend", "version": version, "name": name}
        self._start_server(pod)
        self.backends[name] = pod

    def _start_server(self, pod):
        pod.server = pod.start([_HERE / "apps" / "backend.py", "--name", pod.name, "--version", pod.labels["version"], "--port", BACKEND_PORT])

    def _write_objects(self):
        objects = self.lab.objects
        for node in self.lab.nodes:
            objects.node(node)
        objects.write("mesh", manifest("mesh"))
        objects.namespace("default", enrolled=False)
        objects.namespace(NAMESPACE, enrolled=False)
        objects.pod(self.frontend, {"app": "frontend"})
        objects.pod(self.visitor, {"app": "visitor"})
        for pod in self.backends.values():
            pod.server.expect("serving")
            objects.pod(pod, pod.labels, account="backend")
        objects.write("service-backend", manifest("backend"))

    @property
    def services(self):
        endpoints = [address for pod in self.backends.values() for address in pod.addresses]
        return [VirtualService([BACKEND_VIP, BACKEND_VIP6], port, BACKEND_PORT, endpoints) for port in (BACKEND_PORT, BACKEND_TCP_PORT)]

    def enrol(self, timeout=10.0):
        """Labels the namespace and waits until both nodes say that it is in force. Returns nothing."""
        self.lab.objects.namespace(NAMESPACE, enrolled=True)
        for node in self.lab.nodes:
            wait_for(lambda node=node: enrolled_pods(node) >= self._pods_of(node), f"{node.name}: the shop is enrolled", timeout)

    def split(self, v1, v2):
        """Applies manifests/split.yaml with these weights, as `kubectl apply -n shop` would."""
        here = manifest("split").replace("metadata: {", f"metadata: {{namespace: {NAMESPACE}, ")
        self.lab.objects.write("split", here.replace("weight: 90", f"weight: {v1}").replace("weight: 10", f"weight: {v2}"))

    def end_split(self):
        self.lab.objects.remove("split")
        wait_for(lambda: not self.routes(), "no route is left")

    @contextlib.contextmanager
    def only_one_well(self):
        """The first backend's program is killed, the last one's answers 503; no object says so. Both are well again at the end."""
        first, _, last = self.backends.values()
        first.server.kill()
        last.server.signal(signal.SIGUSR1)
        try:
            yield
        finally:
            last.server.signal(signal.SIGUSR1)
            self._start_server(first)
            first.server.expect("serving")

    @contextlib.contextmanager
    def another_pod(self, node, name, **description):
        """One more pod of the shop's namespace, taken up by the mesh where it is running, and deleted at the end."""
        pod = node.add_pod(name, NAMESPACE)
        self.lab.objects.pod(pod, **description)
        if node.agent:
            wait_for(lambda: name in enrolled_pods(node), f"{name} is enrolled")
        try:
            yield pod
        finally:
            self.lab.objects.remove(f"pod-{NAMESPACE}-{name}")
            pod.delete()

    def _pods_of(self, node):
        return {pod.name for pod in node.pods if pod.namespace == NAMESPACE}

    def ask(self, count=1, caller=None, url=f"http://backend:{BACKEND_PORT}/", each=1):
        """What the frontend program reports: counts of who answered, which client address they saw, and what failed."""
        done = (caller or self.frontend).run([_HERE / "apps" / "frontend.py", url, "--count", count, "--each", each], timeout=120)
        return json.loads(done.stdout)


    def ask_during(self, action, count=400):
        """The same while `action` runs: it starts once the frontend's requests are seen."""
        before = self._requests()
        program = self.frontend.start([_HERE / "apps" / "frontend.py", f"http://backend:{BACKEND_PORT}/", "--count", count, "--each", 5,
                                       "--pause", 0.002])
        wait_for(lambda: self._requests() > before, "the frontend asks")
        action()
        program.wait(60)
        return json.loads(program.text())

    def metrics(self):
        """Of the frontend's node."""
        return json.loads(self.a.leat("metrics", "-o", "json").stdout)

    def routes(self):
        return json.loads(self.a.leat("routes", "-o", "json").stdout)

    def _requests(self):
        return sum(each["value"] for each in self.metrics() if each["name"] == "istio_requests_total")


def enrolled_pods(node):
    return {pod["name"] for pod in json.loads(node.leat("pods", "-o", "json").stdout) if pod.get("enrolment") == "enrolled"}


def manifest(name):
    return (_HERE / "manifests" / f"{name}.yaml").read_text()
