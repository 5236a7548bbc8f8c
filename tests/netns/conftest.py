"""End-to-end tests: real programs in pods of a lab (demo/lab), on this machine's kernel. Run by ./dev test netns, as root.

`shop` is one two-node mesh for every test that leaves it as it was; a test that breaks things takes `new_shop`, which is its own.
LEAT_PLAIN=1 runs the same tests with no Leat at all: what an application sees must be the same, so those tests must pass; only tests that
ask Leat itself are left out. That is how a test is proved right before the mesh is blamed."""
import os
import resource
from collections import Counter

import pytest

from mesh import PLAIN, running, running_shop  # first: it finds the lab
from http_sites import PORTS, Site, await_http
from lab import Lab
from lab.services import VirtualService
from shop import NAMESPACE


def pytest_configure():
    if os.geteuid() != 0:
        pytest.exit("the netns tests make network namespaces: run as root", returncode=2)
    # A login's soft limit is 1,024 descriptors; load has thousands. Leat's own programs raise theirs themselves.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    Lab.sweep()


@pytest.fixture(scope="session")
def shop():
    with running_shop() as shared:
        yield shared


@pytest.fixture
def new_shop():
    with running_shop() as own:
        yield own


# ---------------------------------------------------------------- when something fails

@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """A failure shows the last words of the agents and proxies, and how flows ended that did not end well."""
    report = (yield).get_result()
    if report.failed:
        for node in (node for shop in running for node in shop.lab.nodes):
            for program in filter(None, (node.agent, node.proxy)):
                state = "runs" if program.alive else f"ended with {program.wait()}"
                report.sections.append((f"{program.name} on {node.name}, which {state}", program.text()[-1500:]))
            report.sections.append((f"flows of {node.name} that did not end well", _ill_fated(node)))


def _ill_fated(node):
    try:
        ends = Counter((flow["verdict"], flow["reason"], flow["direction"], flow["path"]) for flow in node.flows()
                       if flow["verdict"] not in ("ok", "open", ""))
    except Exception as failure:  # the node is what failed: the report must be made all the same
        return str(failure)
    return "\n".join(f"{number} × {' · '.join(map(str, end))}" for end, number in ends.most_common(10))


@pytest.fixture(autouse=True)
def no_program_of_the_shared_shop_dies(request):
    """A crash belongs to the test that caused it: it fails, and the program is started anew for the next."""
    yield
    if PLAIN or "shop" not in request.fixturenames:
        return
    nodes = request.getfixturevalue("shop").lab.nodes
    ended = [(node, *program) for node in nodes for program in node.ended_programs()]
    for node, name, _ in ended:
        node.start_agent() if name == "leat-agent" else node.start_proxy()
        node.wait_ready()
    assert not ended, [f"{name} on {node.name} ended with {status}" for node, name, status in ended]


# ---------------------------------------------------------------- parts of the shop

@pytest.fixture(scope="session")
def near(shop):
    """A server pod on the frontend's node."""
    return shop.backends["backend-v1-1"]


@pytest.fixture(scope="session")
def far(shop):
    """A server pod on the other node."""
    return shop.backends["backend-v1-2"]


@pytest.fixture(params=["same-node", "other-node"])
def server(request, near, far):
    return near if request.param == "same-node" else far


# ---------------------------------------------------------------- HTTP servers

@pytest.fixture(scope="session")
def sites(shop, near, far):
    made = {"same-node": Site(shop, "web-near", "10.96.0.31", near), "other-node": Site(shop, "web-far", "10.96.0.32", far)}
    targets = {port: port for port in PORTS}
    virtual = [VirtualService([site.address], port, port, [site.pod.ipv4]) for site in made.values() for port in PORTS]
    shop.a.serve_virtual_addresses([*shop.services, *virtual])
    for site in made.values():
        shop.lab.objects.service(site.name, NAMESPACE, [site.address], {}, {"name": site.pod.name}, http=targets)
        if not PLAIN:
            await_http(site)
    yield made
    for site in made.values():
        shop.lab.objects.remove(f"service-{NAMESPACE}-{site.name}")
    shop.a.serve_virtual_addresses(shop.services)


@pytest.fixture(params=["same-node", "other-node"])
def site(request, sites):
    chosen = sites[request.param]
    yield chosen
    chosen.end()
