"""The labels of Istio's ambient mode, where the agents' settings honour them: on running pods, both ways."""
import contextlib
import json

import pytest

from mesh import PLAIN, flows, running_shop
from lab import wait_for
from shop import BACKEND_PORT, NAMESPACE, enrolled_pods

pytestmark = pytest.mark.skipif(PLAIN, reason="asks Leat, and LEAT_PLAIN is set")

LABEL, REDIRECTED = "istio.io/dataplane-mode", "ambient.istio.io/redirection"


def restart_agents(shop, **settings):
    for node in shop.lab.nodes:
        node.agent.terminate()
        node.start_agent(**settings)
    for node in shop.lab.nodes:
        node.wait_ready()


@pytest.fixture(scope="module")
def shop():
    """Nothing of it is enrolled."""
    with running_shop(enrol=False) as shop:
        restart_agents(shop, ambient_label=True)
        yield shop


def label_namespace(shop, **labels):
    shop.lab.objects.write(f"namespace-{NAMESPACE}", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}})


@contextlib.contextmanager
def labelled(shop, **labels):
    label_namespace(shop, **labels)
    try:
        yield
    finally:
        label_namespace(shop)
        wait_for(lambda: not enrolled_pods(shop.a) | enrolled_pods(shop.b), "nothing is enrolled")


def reason(node, pod):
    return next(each["reason"] for each in json.loads(node.leat("pods", "-o", "json").stdout) if each["name"] == pod)


def wait_enrolled(shop, pods):
    wait_for(lambda: enrolled_pods(shop.a) | enrolled_pods(shop.b) == set(pods), f"{sorted(pods)} are enrolled, and nothing else")


def test_the_label_on_a_namespace_enrols_its_running_pods_and_its_traffic_is_encrypted(shop):
    with labelled(shop, **{LABEL: "ambient"}):
        wait_enrolled(shop, {"frontend", *shop.backends})
        assert reason(shop.a, "frontend") == f"label {LABEL}: ambient on namespace {NAMESPACE}"
        far = shop.backends["backend-v2-1"]
        assert not shop.ask(10, url=f"http://{far.ipv4}:{BACKEND_PORT}/")["failed"]
        assert flows(shop.a, path="hbone", sourcePod="frontend", destinationPod="backend-v2-1")


def test_a_pod_says_none_and_leaves_and_comes_back(shop):
    with labelled(shop, **{LABEL: "ambient"}):
        wait_enrolled(shop, {"frontend", *shop.backends})
        shop.lab.objects.pod(shop.frontend, {"app": "frontend", LABEL: "none"})
        wait_enrolled(shop, shop.backends)
        assert reason(shop.a, "frontend") == f"label {LABEL}: none on the pod"
        shop.lab.objects.pod(shop.frontend, {"app": "frontend"})
        wait_enrolled(shop, {"frontend", *shop.backends})


def test_a_pod_alone_is_enrolled_by_its_own_label(shop):
    shop.lab.objects.pod(shop.frontend, {"app": "frontend", LABEL: "ambient"})
    try:
        wait_enrolled(shop, {"frontend"})
        assert reason(shop.a, "frontend") == f"label {LABEL}: ambient on the pod"
    finally:
        shop.lab.objects.pod(shop.frontend, {"app": "frontend"})
        wait_enrolled(shop, {})


def test_a_pod_that_ztunnel_has_is_left_to_it_until_it_lets_go(shop):
    with labelled(shop, **{LABEL: "ambient"}):
        wait_enrolled(shop, {"frontend", *shop.backends})
        shop.lab.objects.pod(shop.frontend, {"app": "frontend"}, annotations={REDIRECTED: "enabled"})
        wait_enrolled(shop, shop.backends)
        assert reason(shop.a, "frontend") == f"Istio's ztunnel (annotation {REDIRECTED}) takes its traffic"
        shop.lab.objects.pod(shop.frontend, {"app": "frontend"})
        wait_enrolled(shop, {"frontend", *shop.backends})


def test_an_agent_that_does_not_honour_the_label_lets_the_pods_go(shop):
    with labelled(shop, **{LABEL: "ambient"}):
        wait_enrolled(shop, {"frontend", *shop.backends})
        restart_agents(shop)
        try:
            wait_enrolled(shop, {})
            assert reason(shop.a, "frontend") == f"namespace {NAMESPACE} has no label leat.dev/mesh: enabled"
            assert not shop.ask(10)["failed"]
        finally:
            restart_agents(shop, ambient_label=True)
