"""A lab whose certificates come from a CA of the cluster: leat-ca on the first node against the stand-in for an API server
(api_server.py, ca_api.py)."""
import contextlib
import urllib.request

from ca_programs import ask_ca, make_request
from mesh import shop_without_leat
from lab import wait_for
from test_kubernetes_source import ApiServer

SYSTEM, AGENT = "leat-system", "leat-system/leat-agent"
PORT, STATUS_PORT = 15012, 15014
BACKEND = "spiffe://cluster.local/ns/shop/sa/backend"


class Authority:
    """A leat-ca on the first node; `number` tells replicas apart."""

    def __init__(self, shop, number=0, *options):
        self.shop, self.number = shop, number
        self.address = f"{shop.a.gateway4}:{PORT + 100 * number}"
        self.options = options
        self.program = None
        self.start()

    def start(self):
        api = self.shop.api
        self.program = self.shop.a.start([
            self.shop.lab.binary("leat-ca"), "--namespace", SYSTEM, "--replica", f"replica-{self.number}", "--listen", self.address,
            "--status-listen", f"{self.shop.a.gateway4}:{STATUS_PORT + 100 * self.number}", "--server-name", self.shop.a.gateway4,
            "--api-server", f"https://{self.shop.a.gateway4}:6443", "--token", api.state / "token", "--api-server-ca", api.state / "ca.crt",
            "--sync", "200ms", *self.options])
        self.program.expect("serves certificates", 60)

    @property
    def roots_file(self):
        return self.shop.api.state / "configmaps" / "leat-ca-root" / "root-cert.pem"

    def said(self, *words):
        """Lines of its log that have all of these."""
        return [line for line in self.program.text().splitlines() if all(word in line for word in words)]

    def status(self, page):
        url = f"http://{self.shop.a.gateway4}:{STATUS_PORT + 100 * self.number}/{page}"
        return self.shop.a.call(_get, url)

    def leads(self):
        return "\nleat_ca_leader 1\n" in self.status("metrics")

    def ask(self, token, identity=BACKEND, csr=None, seconds=0, times=1):
        return self.shop.a.call(ask_ca, self.address, self.roots_file.read_bytes(), token, csr or make_request(), identity, seconds, times)


def _get(url):
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=5) as answer:
        return answer.read().decode()


def agent_pod(shop, node):
    name = f"leat-agent-{node.name}"
    shop.lab.objects.write(f"pod-{name}", {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": SYSTEM, "uid": f"{SYSTEM}-{name}"},
        "spec": {"nodeName": node.name, "serviceAccountName": "leat-agent", "hostNetwork": True, "containers": [{"name": "agent", "image": "a"}]},
        "status": {"phase": "Running", "podIP": node.gateway4, "podIPs": [{"ip": node.gateway4}]}})
    return name


@contextlib.contextmanager
def cluster_lab():
    with shop_without_leat(needs="leat-ca") as shop:
        shop.api = ApiServer(shop)
        yield shop


@contextlib.contextmanager
def lone_authority(*options):
    """leat-ca and a cluster's objects, with no agent: for foreign clients."""
    with cluster_lab() as shop:
        shop.lab.objects.namespace(SYSTEM, enrolled=False)
        for node in shop.lab.nodes:
            agent_pod(shop, node)
        shop.ca = Authority(shop, 0, *options)
        wait_for(lambda: shop.ca.roots_file.exists(), "the roots are published")
        yield shop


def agent_token(shop, node=None, **details):
    node = node or shop.b
    return shop.api.do("issue", **{"account": AGENT, "pod": f"leat-agent-{node.name}", "node": node.name, **details})
