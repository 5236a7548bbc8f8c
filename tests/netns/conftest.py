"""End-to-end tests: real programs in pods of a lab (demo/lab), on this machine's kernel. Run by ./dev test netns, as root.

`shop` is one two-node mesh for every test that leaves it as it was; a test that breaks things takes `new_shop`, which is its own.
LEAT_PLAIN=1 runs the same tests with no Leat at all: what an application sees must be the same, so those tests must pass; only tests that
ask Leat itself are left out. That is how a test is proved right before the mesh is blamed."""
import contextlib
import os
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "demo"))

from lab import Lab, LeatMissing, wait_for  # noqa: E402  (the path comes first)
from shop import NAMESPACE, Shop  # noqa: E402

PLAIN = bool(os.environ.get("LEAT_PLAIN"))
asks_leat = pytest.mark.skipif(PLAIN, reason="asks Leat, and LEAT_PLAIN is set")


def pytest_configure():
    if os.geteuid() != 0:
        pytest.exit("the netns tests make network namespaces: run as root", returncode=2)
    Lab.sweep()


@contextlib.contextmanager
def running_shop(enrol=True, **settings):
    """A shop in a lab of its own; `settings` go into the Mesh object."""
    with Lab("test") as lab:
        try:
            shop = Shop(lab, start_leat=not PLAIN)
        except LeatMissing as missing:
            pytest.skip(str(missing))
        if settings:
            lab.objects.mesh(**settings)
        if enrol and not PLAIN:
            shop.enrol()
        _running.append(shop)
        try:
            yield shop
        finally:
            _running.remove(shop)


@pytest.fixture(scope="session")
def shop():
    with running_shop() as shared:
        yield shared


@pytest.fixture
def new_shop():
    with running_shop() as own:
        yield own


# ---------------------------------------------------------------- when something fails

_running = []  # the shops that are up now


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """A failure shows the last words of the agents and proxies."""
    report = (yield).get_result()
    if report.failed:
        for node in (node for shop in _running for node in shop.lab.nodes):
            for program in filter(None, (node.agent, node.proxy)):
                state = "runs" if program.alive else f"ended with {program.wait()}"
                report.sections.append((f"{program.name} on {node.name}, which {state}", program.text()[-1500:]))


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


@contextlib.contextmanager
def strict(shop, namespace=NAMESPACE, **options):
    """The namespace takes mesh traffic only, while this is entered."""
    objects = shop.lab.objects
    objects.peer_authentication("strict", namespace, "STRICT", **options)
    try:
        yield
    finally:
        objects.remove(f"peerauthentication-{namespace}-strict")


def flows(node, timeout=5.0, **wanted):
    """Waits for records of `leat flows` on this node that have all of these fields, and returns them."""
    def matching():
        return [flow for flow in node.flows() if all(flow.get(key) == value for key, value in wanted.items())]
    return wait_for(matching, f"{node.name}: a flow with {wanted}", timeout, interval=0.05)


def no_flows(node, **wanted):
    """Whether no record has all of these fields, now."""
    return not [flow for flow in node.flows() if all(flow.get(key) == value for key, value in wanted.items())]
