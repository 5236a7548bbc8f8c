"""What a route does to a request besides sending it on: seen by servers that echo what they got, and by the client."""
import itertools
import json
import time
from collections import Counter

import pytest

from mesh import asks_leat, requests_counted
from http_programs import ask, ask_in_turn, get, ok, post
from http_sites import routed
from lab import wait_for
from shop import NAMESPACE

pytestmark = asks_leat
_edits = itertools.count()


def echo(talk, _):
    while (request := talk.request()) is not None:
        told = {"first": request.first, "headers": request.headers, "body": request.body.decode()}
        talk.send(ok(json.dumps(told).encode(), "X-From: server", "X-Secret: 42"))


class Routes:
    """The VirtualService of a site: apply(entries) is in force on return."""

    def __init__(self, site):
        self.site, self.path = site, None

    def apply(self, *entries):
        mark = f"/in-force-{next(_edits)}"
        probe = {"match": [{"uri": {"exact": mark}}], "directResponse": {"status": 200, "body": {"string": mark}}}
        self.path = self.site.shop.lab.objects.write(f"routes-{self.site.name}", routed([probe, *entries], self.site.name))
        wait_for(lambda: self.site.call(ask, get(mark)).body == mark.encode(), "the routes are in force", interval=0.05)

    def to(self, **more):
        return {"route": [{"destination": {"host": self.site.name}}], **more}


@pytest.fixture
def routes(site):
    site.serve(echo)
    made = Routes(site)
    yield made
    if made.path:
        made.path.unlink()


def seen(answer):
    """What the server got: the request line, its headers as a dict of lists."""
    told = json.loads(answer.body)
    headers = {}
    for name, value in told["headers"]:
        headers.setdefault(name, []).append(value)
    return told["first"], headers


# ---------------------------------------------------------------- headers

def test_headers_are_set_added_and_removed_both_ways_at_the_route_and_at_the_destination(site, routes):
    entry = routes.to(headers={"request": {"set": {"x-set": "route"}, "add": {"x-more": "route"}, "remove": ["x-gone"]},
                               "response": {"add": {"x-back": "route"}, "remove": ["x-secret"]}})
    entry["route"][0]["headers"] = {"request": {"set": {"x-set": "destination", "x-own": "destination"}},
                                    "response": {"set": {"x-from": "destination"}}}
    routes.apply(entry)
    answer = site.call(ask, post(b"body", "X-Set: client", "X-More: client", "X-Gone: 1", "X-Stays: 1"))
    first, headers = seen(answer)
    assert first == "POST / HTTP/1.1" and json.loads(answer.body)["body"] == "body"
    assert headers["x-set"] == ["route"] and headers["x-own"] == ["destination"]
    assert headers["x-more"] == ["client", "route"] and headers["x-stays"] == ["1"] and "x-gone" not in headers
    assert answer.header("x-back") == "route" and answer.header("x-from") == "destination" and answer.header("x-secret") is None


def test_a_host_can_be_set_and_a_framing_header_cannot(site, routes):
    routes.apply(routes.to(headers={"request": {"set": {"Host": "other:81", "content-length": "3"}}}))
    first, headers = seen(site.call(ask, post(b"four")))
    assert headers["host"] == ["other:81"] and headers["content-length"] == ["4"]
    assert "content-length" in site.shop.a.leat("check", check=False).stdout


# ---------------------------------------------------------------- another address

def test_the_part_of_the_path_that_matched_is_rewritten_and_the_query_stays(site, routes):
    routes.apply(routes.to(match=[{"uri": {"prefix": "/ratings"}}], rewrite={"uri": "/v1/ratings", "authority": "ratings.old"}),
                 routes.to(match=[{"uri": {"exact": "/whole"}}], rewrite={"uri": "/new"}),
                 routes.to(rewrite={"uriRegexRewrite": {"match": "^/service/([^/]+)(/.*)$", "rewrite": "\\2/of/\\1"}}))
    asked = [get("/ratings/7?a=/ratings"), get("/whole?x"), get("/service/foo/api?q=1"), get("/else")]
    answers = [seen(answer) for answer in site.call(ask_in_turn, asked)]
    assert [first.split(" ")[1] for first, _ in answers] == ["/v1/ratings/7?a=/ratings", "/new?x", "/api/of/foo?q=1", "/else"]
    assert [headers["host"] for _, headers in answers] == [["ratings.old"], ["web"], ["web"], ["web"]]


def test_a_redirect_names_the_new_address_and_no_server_is_asked(site, routes):
    routes.apply({"match": [{"uri": {"prefix": "/old"}}], "redirect": {"uri": "/new", "authority": "shop.example.com", "redirectCode": 308},
                  "headers": {"response": {"set": {"x-moved": "yes"}}}},
                 {"match": [{"uri": {"prefix": "/tls"}}], "redirect": {"scheme": "https", "port": 8443}},
                 {"redirect": {"derivePort": "FROM_REQUEST_PORT", "authority": "other"}})
    asked = [get("/old/thing?q=1"), get("/tls/x"), get("/else")]
    answers = site.call(ask_in_turn, asked)
    assert [answer.status for answer in answers] == [308, 301, 301]
    assert [answer.header("location") for answer in answers] == [
        "http://shop.example.com/new?q=1", "https://web:8443/tls/x", f"http://other:{site.port}/else"]
    assert answers[0].header("x-moved") == "yes" and all(answer.body == b"" for answer in answers)


def test_curl_follows_a_redirect_to_where_the_request_is_answered(site, routes):
    routes.apply({"match": [{"uri": {"prefix": "/old"}}], "redirect": {"uri": "/new"}}, routes.to())
    said = site.shop.frontend.run(["curl", "-sSL", f"http://{site.address}:{site.port}/old"]).stdout
    assert json.loads(said)["first"] == "GET /new HTTP/1.1"


# ---------------------------------------------------------------- answers made here

def test_a_direct_response_is_status_and_body_as_written(site, routes):
    body = "x" * 20000
    routes.apply({"match": [{"uri": {"exact": "/teapot"}}], "directResponse": {"status": 418, "body": {"string": "short"}},
                  "headers": {"response": {"set": {"content-type": "text/html"}}}},
                 {"match": [{"uri": {"exact": "/long"}}], "directResponse": {"status": 200, "body": {"string": body}}},
                 {"directResponse": {"status": 204}})
    short, head, long, none = site.call(_ask_each, [get("/teapot"), get("/teapot", method="HEAD"), get("/long"), get("/nothing")])
    assert short.status == 418 and short.body == b"short" and short.header("content-type") == "text/html"
    assert head.status == 418 and head.body == b"" and head.header("content-length") == "5"
    assert long.body == body.encode()
    assert none.status == 204 and none.header("content-length") is None


def _ask_each(address, port, requests):
    return [ask(address, port, request, request.split(b" ")[0].decode()) for request in requests]


# ---------------------------------------------------------------- pages of other origins

def test_a_preflight_is_answered_here_and_answers_to_an_allowed_origin_say_so(site, routes):
    routes.apply(routes.to(corsPolicy={"allowOrigins": [{"exact": "http://a.com"}], "allowMethods": ["GET", "PUT"], "allowHeaders": ["x-one"],
                                       "exposeHeaders": ["x-from"], "maxAge": "24h", "allowCredentials": True}))
    preflight = ["Access-Control-Request-Method: PUT", "Access-Control-Request-Headers: x-one"]
    asked, allowed, foreign, foreign_preflight = site.call(ask_in_turn, [
        get("/", "Origin: http://a.com", *preflight, method="OPTIONS"), get("/", "Origin: http://a.com"),
        get("/", "Origin: http://b.com"), get("/", "Origin: http://b.com", *preflight, method="OPTIONS")])
    assert asked.status == 200 and asked.body == b"" and asked.header("x-from") is None
    assert asked.header("access-control-allow-methods") == "GET,PUT" and asked.header("access-control-max-age") == "86400"
    assert allowed.header("access-control-allow-origin") == "http://a.com" and allowed.header("x-from") == "server"
    assert allowed.header("access-control-allow-credentials") == "true" and allowed.header("access-control-expose-headers") == "x-from"
    assert foreign.status == 200 and foreign.header("access-control-allow-origin") is None
    assert foreign_preflight.header("x-from") == "server"  # the server's own answer


# ---------------------------------------------------------------- delegation

def test_a_delegate_adds_its_conditions_to_those_of_the_entry_that_leads_to_it(site, routes):
    def answer(body):
        return {"directResponse": {"status": 200, "body": {"string": body}}}
    delegate = routed([{"match": [{"uri": {"prefix": "/api/v2"}}], **answer("v2")}, {"match": [{"uri": {"prefix": "/else"}}], **answer("never")},
                       {"match": [{"headers": {"x-old": {}}}], **answer("old")}, answer("rest")], "below")
    del delegate["spec"]["hosts"]
    path = site.shop.lab.objects.write("delegate", delegate)
    try:
        routes.apply({"match": [{"uri": {"prefix": "/api"}}], "delegate": {"name": "below"}}, routes.to())
        asked = [get("/api/v2/x"), get("/api/x", "X-Old: 1"), get("/api"), get("/else")]
        answers = site.call(ask_in_turn, asked)
        assert [answer.body for answer in answers[:3]] == [b"v2", b"old", b"rest"]
        assert answers[3].header("x-from") == "server"
        assert "no request can match both this and spec.http[1]" in site.shop.a.leat("check", check=False).stdout
    finally:
        path.unlink()


# ---------------------------------------------------------------- faults

def test_an_aborted_request_is_answered_here_with_its_status_and_counted(site, routes):
    routes.apply(routes.to(match=[{"headers": {"x-fault": {}}}], fault={"abort": {"httpStatus": 555}}), routes.to())
    aborted, passed = site.call(ask_in_turn, [get("/", "X-Fault: 1"), get("/")])
    assert aborted.status == 555 and aborted.header("leat-reason") == "fault-abort" and passed.status == 200
    assert requests_counted(site.shop.a, response_code="555", response_flags="FI", destination_service_name=site.name) >= 1


def test_a_share_of_the_requests_is_aborted(site, routes):
    routes.apply(routes.to(fault={"abort": {"httpStatus": 503, "percentage": {"value": 30}}}))
    counts = Counter(answer.status for answer in site.call(ask_in_turn, [get("/")] * 1000))
    assert set(counts) == {200, 503} and 220 < counts[503] < 380  # 5.5 standard deviations


def test_a_delayed_request_is_late_by_what_is_asked_and_arrives_whole(site, routes):
    routes.apply(routes.to(match=[{"uri": {"exact": "/late"}}], fault={"delay": {"fixedDelay": "300ms", "percentage": {"value": 100}}}),
                 routes.to())
    before = time.monotonic()
    answer = site.call(ask, post(b"x" * 30000, path="/late"))
    assert time.monotonic() - before >= 0.3 and len(json.loads(answer.body)["body"]) == 30000
    assert requests_counted(site.shop.a, response_code="200", response_flags="DI", destination_service_name=site.name) >= 1


def test_a_request_with_both_faults_is_late_and_then_aborted(site, routes):
    routes.apply(routes.to(fault={"delay": {"fixedDelay": "200ms"}, "abort": {"httpStatus": 429}}))
    before = time.monotonic()
    assert site.call(ask, get("/")).status == 429
    assert time.monotonic() - before >= 0.2
