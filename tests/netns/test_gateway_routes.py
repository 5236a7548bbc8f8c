"""HTTPRoutes of the Gateway API at Services: which of them holds, for whom, and what it does. The control plane's part is in the golden tests."""
import itertools
import json

import pytest

from mesh import asks_leat
from http_programs import ask, ask_in_turn, get
from lab import wait_for
from shop import NAMESPACE
from test_routes import echo, seen

pytestmark = asks_leat
_edits = itertools.count()


def http_route(name, service, rules, namespace=NAMESPACE):
    return {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": name, "namespace": namespace},
            "spec": {"parentRefs": [{"group": "", "kind": "Service", "name": service, "namespace": NAMESPACE}], "rules": rules}}


class GatewayRoutes:
    """Objects at a site: apply(rules, more objects) is in force on return."""

    def __init__(self, site):
        self.site, self.path = site, None
        self.backend = {"name": site.name, "port": site.port, "namespace": NAMESPACE}

    def apply(self, rules, *objects):
        mark = f"/in-force-{next(_edits)}"
        probe = {"matches": [{"path": {"type": "Exact", "value": mark}}],
                 "filters": [{"type": "RequestRedirect", "requestRedirect": {"hostname": mark[1:]}}]}
        self.path = self.site.shop.lab.objects.write("gateway", http_route("route", self.site.name, [probe, *rules]), *objects)
        wait_for(lambda: self.site.call(ask, get(mark)).status == 302, "the routes are in force", interval=0.05)


@pytest.fixture
def gateway(site):
    site.serve(echo)
    made = GatewayRoutes(site)
    yield made
    if made.path:
        made.path.unlink()


def modifier(**edits):
    return {"type": "RequestHeaderModifier", "requestHeaderModifier": {
        verb: names if verb == "remove" else [{"name": name, "value": value} for name, value in names.items()] for verb, names in edits.items()}}


def test_the_most_specific_rule_holds_whatever_the_order_and_the_rest_is_404(site, gateway):
    def rule(mark, match):
        return {"matches": [match], "filters": [modifier(set={"x-rule": mark})], "backendRefs": [gateway.backend]}
    gateway.apply([rule("short", {"path": {"value": "/a"}}), rule("long", {"path": {"value": "/a/b"}}),
                   rule("exact", {"path": {"type": "Exact", "value": "/a/b"}}),
                   rule("header", {"path": {"value": "/a"}, "headers": [{"name": "X-Who", "value": "me"}]})])
    asked = [get("/a"), get("/a/b/c"), get("/a/b"), get("/a/c", "X-Who: me"), get("/a/b/c", "X-Who: me"), get("/ab"), get("/")]
    answers = site.call(ask_in_turn, asked)
    assert [seen(answer)[1]["x-rule"] for answer in answers[:5]] == [["short"], ["long"], ["exact"], ["header"], ["long"]]
    assert [answer.status for answer in answers[5:]] == [404, 404]


def test_filters_edit_heads_rewrite_and_redirect(site, gateway):
    gateway.apply([
        {"matches": [{"path": {"value": "/old"}}], "backendRefs": [gateway.backend],
         "filters": [modifier(set={"x-set": "1"}, add={"x-more": "2"}, remove=["x-gone"]),
                     {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": [{"name": "x-from", "value": "route"}]}},
                     {"type": "URLRewrite", "urlRewrite": {"hostname": "new.example.com", "path": {
                         "type": "ReplacePrefixMatch", "replacePrefixMatch": "/new"}}}]},
        {"matches": [{"path": {"value": "/moved"}}],
         "filters": [{"type": "RequestRedirect", "requestRedirect": {"scheme": "https", "path": {
             "type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}, "statusCode": 301}}]}])
    edited, moved = site.call(ask_in_turn, [get("/old/x?q=1", "X-More: 1", "X-Gone: 1"), get("/moved/x?q=1")])
    first, headers = seen(edited)
    assert first == "GET /new/x?q=1 HTTP/1.1" and headers["host"] == ["new.example.com"]
    assert headers["x-set"] == ["1"] and headers["x-more"] == ["1", "2"] and "x-gone" not in headers
    assert edited.header("x-from") == "route"
    assert moved.status == 301 and moved.header("location") == "https://web/x?q=1"


def test_the_share_of_a_backend_that_cannot_be_used_is_answered_500_and_the_status_says_why(site, gateway):
    gateway.apply([{"matches": [{"path": {"value": "/gone"}}], "backendRefs": [{"name": "gone", "port": 80}]},
                   {"matches": [{"path": {"value": "/foreign"}}], "backendRefs": [{"name": "foreign", "namespace": "team", "port": 80}]},
                   {"matches": [{"path": {"value": "/none"}}]}])
    gone, foreign, none = site.call(ask_in_turn, [get("/gone"), get("/foreign"), get("/none")])
    assert (gone.status, foreign.status, none.status) == (500, 500, 500)
    assert gone.header("leat-reason") == "invalid-backend"
    [status] = json.loads(site.shop.a.leat("routes", "--status", "-o", "json").stdout)
    assert status["parent"] == f"Service {NAMESPACE}/{site.name}"
    assert [(one["type"], one["status"], one["reason"]) for one in status["conditions"]] == [
        ("Accepted", "True", "Accepted"), ("ResolvedRefs", "False", "BackendNotFound")]


def test_a_route_of_another_namespace_holds_for_its_own_clients_only(site, gateway):
    consumer = http_route("consumer", site.name, [{"filters": [modifier(set={"x-rule": "consumer"})], "backendRefs": [gateway.backend]}], "team")
    gateway.apply([{"filters": [modifier(set={"x-rule": "producer"})], "backendRefs": [gateway.backend]}], consumer)
    assert seen(site.call(ask, get("/")))[1]["x-rule"] == ["producer"]
    clients = {tuple(route["clientNamespaces"]) for route in json.loads(site.shop.a.leat("routes", "-o", "json").stdout)}
    assert clients == {("team",), ()}
