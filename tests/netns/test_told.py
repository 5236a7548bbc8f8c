"""What a cluster is told of its objects and pods: the status of Gateway API routes and Events about objects, by the one agent that leads,
and Events about pods by the agent of their node. The API server is a stand-in (api_server.py, told_api.py)."""
import contextlib

import pytest

from mesh import PLAIN
from lab import wait_for
from shop import NAMESPACE
from test_gateway_routes import http_route
from test_kubernetes_source import LEASE, running_cluster

pytestmark = pytest.mark.skipif(PLAIN, reason="asks Leat, and LEAT_PLAIN is set")

OURS, FOREIGN = "leat.dev/mesh", "example.com/gateway"
SPLIT = ["HTTPRoute", NAMESPACE, "split"]
FOREIGN_PARENT = {"parentRef": {"name": "gate"}, "controllerName": FOREIGN,
                  "conditions": [{"type": "Accepted", "status": "True", "reason": "Accepted", "message": "", "observedGeneration": 1,
                                  "lastTransitionTime": "2026-01-01T00:00:00Z"}]}


@pytest.fixture(scope="module")
def cluster():
    with running_cluster() as shop:
        yield shop


def holder(shop):
    lease = shop.api.do("object", key=["leases", *LEASE.split("/")])
    return lease and lease["spec"]["holderIdentity"]


def leader_and_other(shop):
    wait_for(lambda: holder(shop), "one leads", 20)
    leader, other = sorted(shop.lab.nodes, key=lambda node: node.name != holder(shop))
    return leader, other


def told(shop, **wanted):
    """Events with these fields; `name` is the object's."""
    name = wanted.pop("name", None)
    return [event for event in shop.api.do("told")["events"] if (name is None or event["regarding"]["name"] == name)
            and all(event[field] == value for field, value in wanted.items())]


def told_of_split(shop, reason):
    """Of the route that is there now: its Events, not those of one before it with this name."""
    now = shop.api.do("stored", key=SPLIT)
    return [event for event in told(shop, name="split", reason=reason) if now and event["regarding"]["uid"] == now["metadata"]["uid"]]


def writes(shop):
    return shop.api.do("told")["writes"]


def parents(shop, controller=OURS):
    route = shop.api.do("stored", key=SPLIT)
    return [parent for parent in (route or {}).get("status", {}).get("parents", []) if parent["controllerName"] == controller]


def condition(shop, kind):
    """(status, reason, observedGeneration) of the only parent."""
    for parent in parents(shop):
        for one in parent["conditions"]:
            if one["type"] == kind:
                return one["status"], one["reason"], one["observedGeneration"]
    return None


def apply_route(shop, backend="backend", **more):
    rule = {"backendRefs": [{"name": backend, "port": 8080}], **more}
    shop.lab.objects.write("gateway", http_route("split", "backend", [rule]))


@contextlib.contextmanager
def route(shop, backend="backend", **more):
    apply_route(shop, backend, **more)
    try:
        yield
    finally:
        shop.lab.objects.remove("gateway")
        # A file that is there again before the server looks would be an edit: the next test's route is another object.
        wait_for(lambda: not shop.api.do("stored", key=SPLIT), "the server has it no more", 20)


def test_a_routes_status_appears_and_changes_with_an_edit(cluster):
    with route(cluster):
        wait_for(lambda: condition(cluster, "ResolvedRefs") == ("True", "ResolvedRefs", 1), "the status is there", 40)
        assert condition(cluster, "Accepted") == ("True", "Accepted", 1)
        (parent,) = parents(cluster)
        assert parent["parentRef"] == {"group": "", "kind": "Service", "name": "backend", "namespace": NAMESPACE}
        apply_route(cluster, "nobody")
        wait_for(lambda: condition(cluster, "ResolvedRefs") == ("False", "BackendNotFound", 2), "it says that there is no such Service", 30)
        assert condition(cluster, "Accepted") == ("True", "Accepted", 2)


def test_another_controllers_parent_stands_and_ours_comes_back(cluster):
    with route(cluster):
        wait_for(lambda: parents(cluster), "the status is there", 40)
        cluster.api.do("status", key=SPLIT, status={"parents": [FOREIGN_PARENT]})
        wait_for(lambda: parents(cluster), "ours is there again", 40)
        assert parents(cluster, FOREIGN) == [FOREIGN_PARENT]
        apply_route(cluster, "nobody")
        wait_for(lambda: condition(cluster, "ResolvedRefs") == ("False", "BackendNotFound", 2), "ours changes", 40)
        assert parents(cluster, FOREIGN) == [FOREIGN_PARENT]


def test_one_agent_writes_and_nothing_more_is_written_when_nothing_changes(cluster):
    leader, other = leader_and_other(cluster)
    with route(cluster, noSuchField={"a": "b"}):
        wait_for(lambda: condition(cluster, "Accepted") and told_of_split(cluster, "UnsupportedField"), "all is told", 40)
        about_objects = [write for write in writes(cluster) if "/status" in write[2]]
        assert {write[0] for write in about_objects} == {leader.gateway4}
        # Both agents hear of it, and compile; the leader has looked at every route by the time that it has told of the second.
        before = writes(cluster)
        cluster.lab.objects.write("other", http_route("other", "backend", [{"backendRefs": [{"name": "backend", "port": 8080}]}]))
        try:
            wait_for(lambda: any("/httproutes/other/status" in write[2] for write in writes(cluster)), "the other route's is there", 40)
        finally:
            cluster.lab.objects.remove("other")
        more = writes(cluster)[len(before):]
        assert len(more) == 1, more


def test_an_event_on_the_object_names_the_field_and_is_one(cluster):
    with route(cluster, noSuchField={"a": "b"}):
        wait_for(lambda: told_of_split(cluster, "UnsupportedField"), "the Event is there", 40)
        (event,) = told_of_split(cluster, "UnsupportedField")
        assert "noSuchField" in event["note"] and event["type"] == "Warning" and event["reportingController"] == "leat.dev/agent"
        assert event["regarding"] == {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "namespace": NAMESPACE, "name": "split",
                                      "uid": cluster.api.do("stored", key=SPLIT)["metadata"]["uid"]}
        apply_route(cluster, "nobody", noSuchField={"a": "b"})
        wait_for(lambda: told_of_split(cluster, "InvalidReference"), "another one is", 40)
        assert len(told_of_split(cluster, "UnsupportedField")) == 1


def test_a_pods_events_say_enrolled_and_released_by_its_own_nodes_agent(cluster):
    pod = cluster.backends["backend-v2-1"]
    wait_for(lambda: told(cluster, name=pod.name, reason="Enrolled"), "its enrolment is told", 20)
    (enrolled,) = told(cluster, name=pod.name, reason="Enrolled")
    assert enrolled["reportingInstance"] == pod.node.name and enrolled["type"] == "Normal"
    cluster.lab.objects.pod(pod, {**pod.labels, "leat.dev/mesh": "disabled"}, account="backend")
    try:
        wait_for(lambda: told(cluster, name=pod.name, reason="Released"), "its release is told", 20)
    finally:
        cluster.lab.objects.pod(pod, pod.labels, account="backend")
    wait_for(lambda: told(cluster, name=pod.name, reason="Enrolled")[0].get("series", {}).get("count") == 2, "its return is of the same series", 20)


def test_an_agent_that_starts_again_does_not_tell_of_its_pods_again(cluster):
    _, other = leader_and_other(cluster)
    mine = lambda: [write for write in writes(cluster) if write[0] == other.gateway4]  # noqa: E731
    pods = [name for name, pod in cluster.backends.items() if pod.node is other]
    wait_for(lambda: all(told(cluster, name=name, reason="Enrolled") for name in pods), "all are told", 20)
    before = mine()
    other.agent.kill()
    other.start_leat(**cluster.api.config(other))
    other.wait_ready()
    with cluster.another_pod(other, "backend-v9-1", labels={"app": "backend", "version": "v9"}, account="backend"):
        wait_for(lambda: told(cluster, name="backend-v9-1", reason="Enrolled"), "a new one is told", 20)
    assert len(mine()) == len(before) + 1


def test_what_can_not_be_written_is_said_and_stops_nothing(cluster):
    leader, _ = leader_and_other(cluster)
    cluster.api.do("refuse", whether=True)
    try:
        with route(cluster):
            wait_for(lambda: "the status of routes can't be written" in leader.leat("check", check=False).stdout, "it is said", 40)
            assert not cluster.ask(20)["failed"]
            cluster.api.do("refuse", whether=False)
            wait_for(lambda: parents(cluster), "it is written when it can be", 60)
            wait_for(lambda: "can't be written" not in leader.leat("check", check=False).stdout, "nothing is said any more", 40)
    finally:
        cluster.api.do("refuse", whether=False)


def test_where_the_leader_ends_the_other_goes_on():
    with running_cluster() as shop:
        leader, other = leader_and_other(shop)
        with route(shop):
            wait_for(lambda: parents(shop), "the status is there", 40)
            leader.agent.kill()
            apply_route(shop, "nobody")
            wait_for(lambda: condition(shop, "ResolvedRefs") == ("False", "BackendNotFound", 2), "the other has written it", 60)
            assert holder(shop) == other.name
            assert [write[0] for write in writes(shop) if "/status" in write[2]][-1] == other.gateway4
