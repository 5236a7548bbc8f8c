"""Parts of Leat die, are replaced, or lose what they need, while the application goes on: short connections all the time, and long ones.
What is demanded is said in each test; what failed, and how many long ones were dialled anew, is reported."""
import json
import time

import pytest

from kube import wait_for
from nodes import cluster
from nodes.layout import REPOSITORY

from images.build import PROGRAMS, REGISTRY, version  # noqa: E402

LONG_CONNECTIONS = 4  # of an URL; shop/load.go
HTTP = "backend:8080"
# Of 12,000 and more, of connections that only relay bytes. A defect: none should be. At leaving 0 in seven runs on a quiet machine, and 451
# on one that was busy with a build, where pods left before the other node was told; that is mended, and was not tried again on a busy one.
MOST_CUT, MOST_CUT_AT_LEAVING = 4, 100


@pytest.fixture(scope="module")
def loaded(kube, leat):
    with kube.applied("load.yaml"):
        kube.kubectl("-n", "shop", "rollout", "status", "deployment/load", "--timeout=60s")
        wait_for(lambda: len(kube.enrolled()) == 5, "the load's pod is enrolled", timeout=30, interval=0.5)
        kube.load()
        yield


@pytest.fixture
def under_load(kube, loaded, record_property):
    """Calls what is to happen, under load from before it until after it."""
    def during(action, after=3):
        kube.load()
        wait_for_requests(kube)
        action()
        time.sleep(after)  # what fails late is to be seen too
        tallies = kube.load()
        short, long = ({url: tally for url, tally in tallies.items() if url.startswith(kind)} for kind in ("short", "long"))
        # What the cluster's DNS does not answer in time is no connection yet, and not Leat's.
        failed = {kind: {why: one for tally in some.values() for why, one in tally["failed"].items() if ": lookup " not in why}
                  for kind, some in (("short", short), ("long", long))}
        record_property("short", f"{sum(tally['requests'] for tally in short.values())} connections, {total(failed['short'])} failed")
        record_property("long", f"{sum(tally['requests'] for tally in long.values())} requests, {total(failed['long'])} failed, "
                                f"{sum(tally['dials'] for tally in long.values())} of {len(long) * LONG_CONNECTIONS} connections dialled anew")
        return failed, sum(tally["dials"] for tally in long.values())
    return during


def total(failed):
    return sum(one["count"] for one in failed.values())


def wait_for_requests(kube, count=100):
    seen = 0

    def enough():
        nonlocal seen
        seen += sum(tally["requests"] for tally in kube.load().values())
        return seen > count
    wait_for(enough, f"{count} requests", timeout=20, interval=0.2)


def ready(kube):
    """Every pod of Leat, and nothing is left of those before them."""
    pods = kube.get("pods", "-n", "leat-system")["items"]
    return len(pods) == 6 and all(not pod["metadata"].get("deletionTimestamp") and condition["status"] == "True"
                                  for pod in pods for condition in pod["status"].get("conditions", []) if condition["type"] == "Ready")


def well(kube):
    wait_for(lambda: ready(kube), "all of Leat's pods are ready", timeout=90, interval=0.5)
    for node in kube.nodes:
        wait_for(lambda node=node: is_well(kube, node), f"{node.name} is well", timeout=60, interval=0.5)


def is_well(kube, node):
    try:
        return bool(kube.leat(node.name, "check"))
    except RuntimeError as error:  # it exits 1, and names what is wrong
        raise AssertionError(str(error)) from error


def kill_all(kube, program):
    """And waits until each has a successor."""
    restarts = kube.restarts(program)
    for node in kube.nodes:
        node.kill(program)
    wait_for(lambda: kube.restarts(program) == [count + 1 for count in restarts], "they start anew", timeout=60, interval=0.2)


# ---------------------------------------------------------------- deaths

def test_agents_are_killed(kube, under_load):
    def kill():
        kill_all(kube, "leat-agent")
        well(kube)

    failed, dials = under_load(kill)
    assert total(failed["short"]) <= 2 and not failed["long"] and dials == 0, failed  # 2 of 1,625 were cut in one run of five


def test_agents_pods_are_deleted(kube, under_load):
    def delete():
        kube.kubectl("-n", "leat-system", "delete", "pod", "-l", "app.kubernetes.io/name=leat-agent", "--wait")
        well(kube)

    failed, dials = under_load(delete)
    assert failed == {"short": {}, "long": {}} and dials == 0


def test_proxies_are_killed(kube, under_load):
    """What a proxy carried dies with it. What comes next waits in the kernel for its successor."""
    def kill():
        kill_all(kube, "leat-proxy")
        well(kube)

    failed, dials = under_load(kill)
    assert total(failed["short"]) <= 8 and total(failed["long"]) <= 8  # in flight at that moment: 4 and 8 workers
    assert dials <= 2 * LONG_CONNECTIONS


@pytest.mark.long  # their grace ends first
def test_proxies_pods_are_deleted(kube, under_load):
    def delete():
        kube.kubectl("-n", "leat-system", "delete", "pod", "-l", "app.kubernetes.io/name=leat-proxy", "--wait")
        well(kube)

    failed, _ = under_load(delete)
    assert not failed["short"], failed


def test_authorities_are_killed(kube, under_load):
    def kill():
        kill_all(kube, "leat-ca")
        well(kube)

    failed, dials = under_load(kill)
    assert failed == {"short": {}, "long": {}} and dials == 0


# ---------------------------------------------------------------- upgrades

def test_an_upgrade_and_the_way_back(kube, under_load):
    for node in kube.nodes:
        for image in PROGRAMS:
            node.run("ctr", "-n", "k8s.io", "images", "tag", "--force", f"{REGISTRY}/{image}:{version()}", f"{REGISTRY}/{image}:next")
    chart = REPOSITORY / "charts" / "leat"
    for command in (["upgrade", "leat", chart, "--set", "image.tag=next"], ["rollback", "leat"]):
        def roll(command=command):
            kube.helm(*command, "-n", "leat-system", "--wait", "--timeout", "300s")
            well(kube)

        failed, _ = under_load(roll)
        assert not [why for why in failed["short"] if HTTP in why], (command, failed)
        assert total(failed["short"]) <= MOST_CUT, (command, failed)
    images = {container["image"] for pod in kube.get("pods", "-n", "leat-system")["items"] for container in pod["spec"]["containers"]}
    assert images == {f"{REGISTRY}/{image}:{version()}" for image in PROGRAMS}


# ---------------------------------------------------------------- what they need is away

@pytest.mark.parametrize("seconds", [20, pytest.param(120, marks=pytest.mark.long)])
def test_the_api_server_is_away(kube, under_load, seconds):
    def away():
        with kube.nodes[0].hold("kube-apiserver"):
            time.sleep(seconds)  # the test's subject
        wait_for(cluster.is_ready, "the API server is back", timeout=60, interval=0.5)
        well(kube)

    failed, dials = under_load(away)
    assert failed == {"short": {}, "long": {}} and dials == 0


# ---------------------------------------------------------------- the mesh's authority

def certificates(kube):
    """Of all nodes, but those that are about to be dropped."""
    return [one for node in kube.nodes for one in json.loads(kube.leat(node.name, "certs", "-o", "json")) if one["state"] == "valid"]


def renewed(kube, serials):
    """Each certificate is another one than these."""
    now = {one["serial"] for one in certificates(kube)}
    return now and not now & serials


@pytest.fixture(scope="module")
def short_lived(kube, loaded):
    """Certificates live for a minute; a root is replaced in as little time as kubelets need to bring the new one to every pod's files."""
    before = {one["serial"] for one in certificates(kube)}
    kube.helm("upgrade", "leat", REPOSITORY / "charts" / "leat", "-n", "leat-system", "--wait", "--timeout", "300s", "--set", "ca.lifetime=1m",
              "--set", "ca.rotation.distribute=150s", "--set", "ca.rotation.retire=70s")
    # What was issued before lives for hours: the agents' pods and the proxies' begin anew.
    for program in ("leat-agent", "leat-proxy"):
        kube.kubectl("-n", "leat-system", "rollout", "restart", f"daemonset/{program}")
        kube.kubectl("-n", "leat-system", "rollout", "status", f"daemonset/{program}", "--timeout=180s")
    well(kube)
    wait_for(lambda: renewed(kube, before), "every certificate is a short one", timeout=60, interval=1)
    yield
    kube.helm("upgrade", "leat", REPOSITORY / "charts" / "leat", "-n", "leat-system", "--wait", "--timeout", "300s")


@pytest.mark.long  # a certificate's life
def test_the_authority_is_away_past_half_life(kube, short_lived, under_load):
    def away():
        serials = {one["serial"] for one in certificates(kube)}
        kube.kubectl("-n", "leat-system", "scale", "deployment/leat-ca", "--replicas=0")
        wait_for(lambda: any(one["lastError"] for one in certificates(kube)), "a renewal has failed", timeout=90, interval=1)
        kube.kubectl("-n", "leat-system", "scale", "deployment/leat-ca", "--replicas=2")
        wait_for(lambda: renewed(kube, serials), "every certificate is another one", timeout=90, interval=1)
        well(kube)

    failed, dials = under_load(away)
    assert failed == {"short": {}, "long": {}} and dials == 0


@pytest.mark.long  # kubelets take up to two minutes to bring the new root to a pod's files
def test_the_root_is_replaced(kube, short_lived, under_load):
    def said(phase):
        return phase in kube.kubectl("-n", "leat-system", "logs", "-l", "app.kubernetes.io/name=leat-ca", "--tail=-1")

    def replace():
        published = kube.get("configmap", "leat-ca-root", "-n", "leat-system")["data"]
        kube.kubectl("-n", "leat-system", "annotate", "secret", "leat-ca-root", "leat.dev/rotate=drill", "--overwrite")
        for phase in ("a new root is made", "the new root signs", "the rotation is complete"):
            wait_for(lambda phase=phase: said(phase), phase, timeout=200, interval=1)
        assert kube.get("configmap", "leat-ca-root", "-n", "leat-system")["data"] != published
        serials = {one["serial"] for one in certificates(kube)}
        wait_for(lambda: renewed(kube, serials), "every certificate is another one", timeout=90, interval=1)

    failed, dials = under_load(replace)
    assert failed == {"short": {}, "long": {}} and dials == 0


# ---------------------------------------------------------------- the end

def test_the_application_leaves_the_mesh_and_leat_is_uninstalled(kube, under_load):
    def leave():
        kube.kubectl("label", "namespace", "shop", "leat.dev/mesh-")
        wait_for(lambda: not kube.enrolled(), "no pod is enrolled", timeout=60, interval=0.5)
        kube.uninstall()

    failed, _ = under_load(leave)
    assert total(failed["short"]) <= MOST_CUT_AT_LEAVING, failed


def test_leat_is_uninstalled_while_the_application_is_in_the_mesh(kube, under_load):
    """No label was taken off before. The agents are told at once, and none may hear of another any more."""
    if not kube.is_installed():
        kube.install()
    wait_for(lambda: len(kube.enrolled()) == 5, "the application is enrolled", timeout=60, interval=0.5)
    failed, _ = under_load(kube.uninstall)
    assert total(failed["short"]) <= MOST_CUT_AT_LEAVING, failed
