"""Traces, access log, tap and top: what the mesh tells of requests, end to end."""
import contextlib
import json
import re
import secrets

import pytest

from collector import Collector
from http_programs import answering, ask, ask_in_turn, get, ok, post, response
from mesh import asks_leat, metrics
from lab import wait_for
from programs import connect
from shop import NAMESPACE, manifest

pytestmark = asks_leat

PARENT = "00f067aa0ba902b7"
TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-(0[01])")


@pytest.fixture
def new_trace():
    """An id that no other test has: spans outlive tests."""
    return secrets.token_hex(16)


def counted_answers(respond):
    """A handler for more requests than a test wants to hear of."""
    def handle(talk, _):
        while (request := talk.request()) is not None:
            talk.send(respond(request))
    return handle


@contextlib.contextmanager
def mesh_settings(shop, **spec):
    """The Mesh object has these beside its usual settings, while this is entered."""
    shop.lab.objects.mesh(**spec)
    try:
        yield
    finally:
        shop.lab.objects.write("mesh", manifest("mesh"))


@contextlib.contextmanager
def telemetry(shop, name="requests", selector=None, **spec):
    if selector:
        spec["selector"] = {"matchLabels": selector}
    shop.lab.objects.write(f"telemetry-{name}", {"apiVersion": "telemetry.istio.io/v1", "kind": "Telemetry",
                                                  "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec})
    try:
        yield
    finally:
        shop.lab.objects.remove(f"telemetry-{name}")


@pytest.fixture
def heard(site):
    """heard(request) sends it and returns what the server got."""
    server = site.serve(answering(lambda request: ok()))

    def send(request):
        assert site.call(ask, request).status == 200
        return server.hear()
    return send


def until(heard, request, fits):
    """Sends requests until an edit of the settings is in force."""
    return wait_for(lambda: (got := heard(request)) and fits(got) and got, "the settings are in force", interval=0.02)


def traceparent(message):
    return TRACEPARENT.fullmatch(message.header("traceparent") or "")


def counter(shop, name, **labels):
    return sum(each["value"] for each in metrics(shop.a) if each["name"] == name and labels.items() <= each["labels"].items())


# ---------------------------------------------------------------- what a request carries

def test_without_tracing_a_request_carries_what_it_came_with(shop, heard):
    got = heard(get("/", "traceparent: nonsense", "b3: 1", "TraceState: a=1"))
    assert (got.header("traceparent"), got.header("b3"), got.header("tracestate")) == ("nonsense", "1", "a=1")
    assert heard(get("/")).header("traceparent") is None


def test_every_request_carries_a_trace_even_if_none_is_sampled(shop, heard):
    with mesh_settings(shop, tracing={"samplingPercentage": 0}):
        first = until(heard, get("/"), traceparent)
        second = heard(get("/"))
        assert traceparent(first)[3] == traceparent(second)[3] == "00"
        assert traceparent(first)[1] != traceparent(second)[1]
    until(heard, get("/"), lambda got: not traceparent(got))


def test_a_parents_trace_goes_on_and_its_decision_counts(shop, heard, new_trace):
    with mesh_settings(shop, tracing={"otlp": "http://10.255.255.1:4318", "samplingPercentage": 0}):
        until(heard, get("/"), traceparent)
        sampled = heard(get("/", f"traceparent: 00-{new_trace}-{PARENT}-01", "tracestate: vendor=1"))
        trace, span, flags = traceparent(sampled).groups()
        assert (trace, flags) == (new_trace, "01") and span != PARENT
        assert sampled.header("tracestate") == "vendor=1"
        assert sum(name == "traceparent" for name, _ in sampled.headers) == 1
        refused = heard(get("/", f"traceparent: 00-{new_trace}-{PARENT}-00"))
        assert refused.header("traceparent") == f"00-{new_trace}-{PARENT}-00"


def test_b3_goes_on_in_the_form_that_it_came_in(shop, heard, new_trace):
    with mesh_settings(shop, tracing={"otlp": "http://10.255.255.1:4318", "samplingPercentage": 0}):
        until(heard, get("/"), traceparent)
        single = heard(get("/", f"b3: {new_trace}-{PARENT}-1"))
        _, span, _ = traceparent(single).groups()
        assert single.header("b3") == f"{new_trace}-{span}-1-{PARENT}"
        several = heard(get("/", f"X-B3-TraceId: {new_trace}", f"X-B3-SpanId: {PARENT}", "X-B3-Sampled: 1"))
        _, span, _ = traceparent(several).groups()
        assert [several.header(f"x-b3-{name}") for name in ("traceid", "spanid", "parentspanid", "sampled")] == [new_trace, span, PARENT, "1"]
        assert several.header("b3") is None


# ---------------------------------------------------------------- spans

@pytest.fixture
def collector(shop, near):
    with_spans = Collector(shop, near, "10.96.0.45")
    with mesh_settings(shop, tracing={"otlp": with_spans.url, "samplingPercentage": 100}):
        yield with_spans
    with_spans.end()


def test_a_request_becomes_a_client_span_that_opentelemetrys_own_package_reads(shop, site, heard, collector, new_trace):
    until(heard, get("/"), lambda got: traceparent(got) and traceparent(got)[3] == "01")
    got = heard(get("/orders/7?full=yes", f"traceparent: 00-{new_trace}-{PARENT}-01", "User-Agent: shopper", host="web.shop:80"))
    span = collector.span(lambda span: span.trace == new_trace)
    assert (span.name, span.kind, span.parent, span.id) == ("GET", 3, PARENT, traceparent(got)[2])
    assert 0 < span.seconds < 10 and span.status == 0
    expected = {"http.request.method": "GET", "url.path": "/orders/7", "url.query": "full=yes", "url.full": "http://web.shop:80/orders/7?full=yes",
                "server.address": "web.shop", "server.port": 80, "http.response.status_code": 200, "network.protocol.version": "1.1",
                "user_agent.original": "shopper", "network.peer.address": site.pod.ipv4, "network.peer.port": site.port,
                "leat.destination.service": f"{NAMESPACE}/{site.name}", "leat.destination.pod": site.pod.name, "leat.response_flags": "-"}
    assert {key: span.attributes.get(key) for key in expected} == expected
    assert span.resource["service.name"] == "frontend" and span.resource["k8s.pod.name"] == "frontend"


def test_a_failed_request_is_a_span_with_an_error(shop, site, collector, new_trace):
    server = site.serve(answering(lambda request: response(503 if request.first.startswith("GET /fail") else 200)))
    wait_for(lambda: site.call(ask, get("/")) and traceparent(server.hear()), "spans are made", interval=0.02)
    site.call(ask, get("/fail", f"traceparent: 00-{new_trace}-{PARENT}-01"))
    span = collector.span(lambda span: span.trace == new_trace)
    assert span.status == 2 and span.attributes["error.type"] == "503"


def test_custom_tags_are_on_spans_and_reporting_can_be_switched_off(shop, heard, collector, new_trace):
    tags = {"team": {"literal": {"value": "shop"}}, "tenant": {"header": {"name": "X-Tenant", "defaultValue": "nobody"}}}
    until(heard, get("/"), traceparent)
    with telemetry(shop, selector={"app": "frontend"}, tracing=[{"customTags": tags}]):
        seen = wait_for(lambda: (heard(get("/", "X-Tenant: acme")), (span := collector.span()).attributes.get("team") and span)[1], "tags are on")
        assert (seen.attributes["team"], seen.attributes["tenant"]) in {("shop", "acme")}
    with telemetry(shop, tracing=[{"disableSpanReporting": True}]):
        untouched = f"00-{new_trace}-{PARENT}-01"
        until(heard, get("/", f"traceparent: {untouched}"), lambda got: got.header("traceparent") == untouched)


def test_a_collector_in_the_mesh_gets_spans_encrypted(shop, far, sites):
    site = sites["same-node"]
    collector = Collector(shop, far, "10.96.0.46")
    with mesh_settings(shop, tracing={"otlp": collector.url, "samplingPercentage": 100}):
        server = site.serve(answering(lambda request: ok()))
        with shop.a.wire_to(shop.b) as wire:
            wait_for(lambda: site.call(ask, get("/leat-span-marker")) and traceparent(server.hear()), "spans are made", interval=0.02)
            span = collector.span(lambda span: span.attributes.get("url.path") == "/leat-span-marker")
        assert span.trace and not wire.saw(b"leat-span-marker")
    site.end()
    collector.end()


def test_spans_are_packed_and_carry_what_the_collector_asks_for(shop, near, heard):
    collector = Collector(shop, near, "10.96.0.48")
    tracing = {"otlp": collector.url, "samplingPercentage": 100, "compression": "gzip", "headers": {"X-Scope-OrgID": "shop"}}
    with mesh_settings(shop, tracing=tracing):
        until(heard, get("/"), lambda got: traceparent(got) and traceparent(got)[3] == "01")
        request = collector.request()
        assert (request.header("content-encoding"), request.header("x-scope-orgid")) == ("gzip", "shop")
        heard(get("/packed"))
        assert collector.span(lambda span: span.attributes.get("url.path") == "/packed")
    collector.end()


def test_spans_of_an_absent_collector_are_counted_and_requests_do_not_notice(shop, near, heard):
    collector = Collector(shop, near, "10.96.0.47", status=400)
    before = counter(shop, "leat_spans_dropped_total", reason="refused")
    with mesh_settings(shop, tracing={"otlp": collector.url, "samplingPercentage": 100}):
        until(heard, get("/"), traceparent)
        wait_for(lambda: counter(shop, "leat_spans_dropped_total", reason="refused") > before, "the spans are counted as dropped")
    collector.end()


# ---------------------------------------------------------------- access log

def log_lines(shop, marker):
    return [line for line in shop.a.proxy.text().splitlines() if marker in line]


def logged(shop, site, marker, send):
    """Sends requests until the access log has a line with this marker; the first one."""
    return wait_for(lambda: (send(), log_lines(shop, marker))[1], f"a line with {marker}", interval=0.1)[0]


def test_the_access_log_has_istios_line(shop, site, heard):
    with mesh_settings(shop, accessLog={}):
        line = logged(shop, site, f"/line-{site.name}", lambda: heard(get(f"/line-{site.name}?a=1", "User-Agent: curl/8", "X-Request-Id: 42", host="web")))
    fields = re.fullmatch(
        r'\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\] "GET /line-[a-z-]+\?a=1 HTTP/1\.1" 200 - via_upstream - "-" 0 2 \d+ - "-" "curl/8" "42" "web" '
        r'"([\d.:]+)" (\S+) - ([\d.:]+) ([\d.:]+) - (\S+)', line)
    assert fields, line
    assert fields[1] == f"{site.pod.ipv4}:{site.port}"
    assert fields[2] == f"outbound|{site.port}||{site.name}.{NAMESPACE}.svc.cluster.local"
    assert fields[3] == f"{site.address}:{site.port}"
    assert fields[4].startswith(f"{shop.frontend.ipv4}:")


def test_the_access_log_speaks_json_and_no_request_breaks_out_of_its_line(shop, site, heard):
    with mesh_settings(shop, accessLog={"encoding": "JSON"}):
        line = logged(shop, site, f"/json-{site.name}", lambda: heard(get(f"/json-{site.name}", 'User-Agent: a"b\\c', host="web")))
    entry = json.loads(line)
    assert (entry["method"], entry["path"], entry["response_code"], entry["response_flags"]) == ("GET", f"/json-{site.name}", 200, "-")
    assert entry["user_agent"] == 'a"b\\c' and entry["x_forwarded_for"] is None


def test_a_telemetry_object_logs_errors_only(shop, site):
    site.serve(counted_answers(lambda request: response(500 if "fails" in request.first else 200)))
    with telemetry(shop, accessLogging=[{"filter": {"expression": f"response.code >= 500 && request.url_path.startsWith('/only') && request.host == 'only.{site.name}'"}}]):
        paths = ["/only-well", "/other-fails", "/only-fails"]
        logged(shop, site, f"only.{site.name}", lambda: site.call(ask_in_turn, [get(path, host=f"only.{site.name}") for path in paths]))
        assert all("/only-fails" in line for line in log_lines(shop, f"only.{site.name}"))


def test_a_connection_is_a_line_of_its_own(shop):
    with mesh_settings(shop, accessLog={"format": "flow-line %UPSTREAM_CLUSTER% %BYTES_RECEIVED% %RESPONSE_CODE% [%PROTOCOL%]"}):
        def send():
            shop.ask(1, url="http://backend:8081/")
        line = logged(shop, None, "flow-line outbound|8081||backend", send)
    assert re.search(r"flow-line outbound\|8081\|\|backend\.shop\.svc\.cluster\.local \d+ 0 \[-\]", line), line


def test_lines_beyond_the_rate_are_counted(shop, site, heard):
    with mesh_settings(shop, accessLog={"linesPerSecond": 1}):
        logged(shop, site, f"/rated-{site.name}", lambda: heard(get(f"/rated-{site.name}")))
        wait_for(lambda: (site.call(ask_in_turn, [get("/rated")] * 20), counter(shop, "leat_access_log_dropped_total", reason="over-rate"))[1],
                 "lines are counted as dropped")


# ---------------------------------------------------------------- leat tap, leat top

def test_tap_shows_live_requests_that_pass_its_filters(shop, site):
    site.serve(answering(lambda request: response(500 if request.first.startswith("GET /broken") else 200)))
    program = shop.a.start([shop.a.lab.binary("leat"), "tap", "-o", "jsonl", "--status", "5xx", "--path", "/broken", "--service", site.name,
                            "--count", "2"], {"LEAT_AGENT": str(shop.a.api_socket)})
    program.expect("tapping")
    site.call(ask_in_turn, [get("/well"), get("/broken/1"), post(b"x", path="/broken/2"), get("/broken/3")])
    program.wait(30)
    tapped = [json.loads(line) for line in program.text().splitlines() if line.startswith("{")]
    assert [(each["path"], each["status"], each["sourcePod"], each["destinationPod"]) for each in tapped] == [
        ("/broken/1", 500, "frontend", site.pod.name), ("/broken/3", 500, "frontend", site.pod.name)]
    assert tapped[0]["sequence"] < tapped[1]["sequence"]


def test_top_measures_the_edges(shop, site):
    site.serve(counted_answers(lambda request: response(500 if request.first.startswith("GET /broken") else 200)))
    site.call(ask, get())  # the edge's series is there before
    program = shop.a.start([shop.a.lab.binary("leat"), "top", "--once", "--interval", "2s", "-o", "json"], {"LEAT_AGENT": str(shop.a.api_socket)})
    while program.alive:
        site.call(ask_in_turn, [get("/well")] * 3 + [get("/broken")])
    edge = next(each for each in json.loads(program.text()) if each["kind"] == "edge" and each["service"] == site.name)
    assert (edge["source"], edge["workload"], edge["version"]) == ("frontend", site.pod.name, site.pod.labels["version"])
    assert edge["requests"] >= 4 and 0.5 < edge["successRate"] < 0.95 and edge["rate"] > 1
    assert 0 < edge["p50Ms"] <= edge["p95Ms"] <= edge["p99Ms"]


def test_top_measures_the_routes(shop):
    shop.split(70, 30)
    wait_for(lambda: "backend" in shop.a.leat("routes").stdout, "the split is in force")
    program = shop.a.start([shop.a.lab.binary("leat"), "top", "--once", "--interval", "2s", "-o", "json"], {"LEAT_AGENT": str(shop.a.api_socket)})
    while program.alive:
        shop.ask(20, each=5)
    shop.lab.objects.remove("split")
    route = next(each for each in json.loads(program.text()) if each["kind"] == "route")
    assert route["route"] == "VirtualService shop/backend [0]" and route["rate"] > 1 and route["successRate"] == 1
    assert 0 < route["p50Ms"] <= route["p95Ms"] <= route["p99Ms"]


def test_flows_say_how_many_requests_a_connection_carried(shop, site):
    site.serve(answering(lambda request: ok()))
    site.call(ask_in_turn, [get()] * 5)
    wait_for(lambda: [flow for flow in shop.a.flows() if flow["destinationPort"] == site.port and flow["requests"] == 5], "a flow with 5 requests")


# ---------------------------------------------------------------- metrics of connections

def test_connections_are_counted_on_every_path_and_from_both_sides(shop):
    labels = {"source_workload": "frontend", "destination_service_name": "backend", "source_principal": "spiffe://cluster.local/ns/shop/sa/frontend"}

    def opened(node, **more):
        return sum(each["value"] for each in metrics(node) if each["name"] == "istio_tcp_connections_opened_total"
                   and (labels | more).items() <= each["labels"].items())
    before = {name: opened(shop.a, reporter="source", destination_workload=name) for name in shop.backends}
    before_inbound = sum(each["value"] for each in metrics(shop.b) if each["name"] == "istio_tcp_received_bytes_total"
                         and each["labels"]["reporter"] == "destination" and each["labels"]["source_workload"] == "frontend")
    answered = shop.ask(60, url="http://backend:8081/")["pods"]
    assert set(answered) == set(shop.backends)
    for name, count in answered.items():  # backend-v1-1 is the kernel's own work
        wait_for(lambda name=name, count=count: opened(shop.a, reporter="source", destination_workload=name) - before[name] >= count, f"{name} is counted")
    wait_for(lambda: sum(each["value"] for each in metrics(shop.b) if each["name"] == "istio_tcp_received_bytes_total"
                         and each["labels"]["reporter"] == "destination" and each["labels"]["source_workload"] == "frontend") > before_inbound,
             "the other node counts what comes in")
