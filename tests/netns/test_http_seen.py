"""What is seen of requests: flows, metrics, and how they look on the wire."""
import os
import re
import signal
import time

from mesh import asks_leat, flows, requests_counted
from http_programs import answering, ask, ask_and_leave_when_told, ask_in_turn, get, ok, post, say_and_read_all
from lab import wait_for
from shop import BACKEND_PORT, NAMESPACE

pytestmark = asks_leat


def test_a_request_to_another_node_is_encrypted_and_counted_with_both_identities(shop, sites):
    site = sites["other-node"]
    site.serve(answering(lambda request: ok(b"leat-plaintext-marker")))
    labels = {"source_workload": "frontend", "source_workload_namespace": NAMESPACE, "destination_service_name": site.name,
              "source_principal": "spiffe://cluster.local/ns/shop/sa/frontend", "destination_principal": "spiffe://cluster.local/ns/shop/sa/backend",
              "destination_version": "v1", "response_code": "200", "response_flags": "-", "request_protocol": "http", "reporter": "source",
              "connection_security_policy": "mutual_tls"}
    before = requests_counted(shop.a, **labels)
    with shop.a.wire_to(shop.b) as wire:
        site.call(ask_in_turn, [get()] * 7)
    assert requests_counted(shop.a, **labels) == before + 7
    assert not wire.saw(b"leat-plaintext-marker") and wire.tls_records() > 0
    flow = flows(shop.a, protocol="http/1.1", path="hbone", sourcePod="frontend", destinationPort=site.port)[-1]
    assert flow["destinationService"] == f"{NAMESPACE}/{site.name}"
    site.end()


def test_an_http_port_meets_the_proxy_on_the_same_node_too(shop, near):
    shop.ask(30)
    flow = flows(shop.a, protocol="http/1.1", path="proxy", sourcePod="frontend", destinationPod=near.name)[-1]
    assert flow["destinationService"] == f"{NAMESPACE}/backend" and flow["destinationPort"] == BACKEND_PORT


def test_a_slow_answer_is_in_the_duration_histogram_and_not_below(shop, sites):
    site = sites["same-node"]
    site.serve(lambda talk, say: talk.request() and (time.sleep(0.3), talk.send(ok(b"x" * 2000))))
    site.call(ask, post(b"y" * 300))
    text = shop.a.leat("metrics").stdout

    def value(name, le=None):
        wanted = [f'destination_service_name="{site.name}"', 'response_code="200"', *([f'le="{le}"'] if le else [])]
        return [float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name) and all(word in line for word in wanted)]
    slow = sum(value("istio_request_duration_milliseconds_bucket", "+Inf")) - sum(value("istio_request_duration_milliseconds_bucket", "250"))
    assert slow >= 1
    assert sum(value("istio_request_duration_milliseconds_sum")) >= 300
    assert sum(value("istio_request_bytes_sum")) >= 300 and sum(value("istio_response_bytes_sum")) >= 2000
    site.end()


def test_metrics_are_valid_prometheus_text(shop):
    shop.ask(3)
    name, label = r"[a-zA-Z_:][a-zA-Z0-9_:]*", r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
    sample = re.compile(rf"({name})(?:\{{{label}(?:,{label})*\}})? (?:[0-9.e+-]+|\+Inf)")
    kinds, seen = {}, set()
    for line in shop.a.leat("metrics").stdout.splitlines():
        if kind := re.fullmatch(rf"# TYPE ({name}) (counter|gauge|histogram)", line):
            assert kind[1] not in kinds, f"{kind[1]} stands in two places"
            kinds[kind[1]] = kind[2]
            continue
        if re.fullmatch(rf"# HELP {name} .+", line):
            continue
        assert sample.fullmatch(line), line
        series = line.rsplit(" ", 1)[0]
        assert series not in seen, f"{series} is there twice"
        seen.add(series)
        family = sample.fullmatch(line)[1]
        assert family in kinds or re.sub("_(bucket|sum|count)$", "", family) in kinds, family
    assert kinds["istio_requests_total"] == "counter" and kinds["istio_request_duration_milliseconds"] == "histogram"


def test_a_client_that_leaves_and_a_request_that_is_refused_are_counted_as_such(shop, sites):
    site = sites["same-node"]
    server = site.serve(lambda talk, say: talk.request() and say("working") or talk.rest())
    client = shop.frontend.spawn(ask_and_leave_when_told, site.address, site.port)
    assert client.hear() == "asked" and server.hear() == "working"
    os.kill(client.pid, signal.SIGUSR1)
    client.result()
    site.call(say_and_read_all, b"GET / HTTP/1.1\r\n\r\n")
    for flag in ("DC", "DPE"):
        wait_for(lambda flag=flag: requests_counted(shop.a, response_flags=flag, destination_service_name=site.name) >= 1, f"{flag} is counted")
    site.end()
