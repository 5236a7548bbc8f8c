"""HTTP/2 with prior knowledge and gRPC: each call is a request of its own, whatever connection it came on. Real programs at both ends:
gRPC's own library, nghttp2's tools, curl."""
import os
import signal
import time

import pytest

from grpc_programs import call, call_many, call_until_killed, count_down, download_slowly, serve_calls, talk, upload
from http_programs import ask, post
from lab import wait_for
from mesh import asks_leat, flows, proxy_memory_kib, requests_counted
from shop import NAMESPACE
from test_http_routes import split_objects

pytestmark = asks_leat

CALLS, NEAR, FAR = "10.96.0.60", "10.96.0.61", "10.96.0.62"
PORT, TARGET = 50051, 50051


@pytest.fixture(scope="module")
def calls(shop):
    """The gRPC Services `calls` (all three backends) and one each for a backend on the caller's node and on the other one."""
    objects, programs = shop.lab.objects, {}
    for name, pod in shop.backends.items():
        programs[name] = pod.spawn(serve_calls, TARGET, pod.labels["version"])
        assert programs[name].hear() == "listening"
    shop.call_servers = programs
    objects.service("calls", NAMESPACE, [CALLS], {}, {"app": "backend"}, grpc={PORT: TARGET})
    for name, address, pod in (("calls-near", NEAR, "backend-v1-1"), ("calls-far", FAR, "backend-v1-2")):
        objects.service(name, NAMESPACE, [address], {}, {"name": pod}, grpc={PORT: TARGET})
    for address in (CALLS, NEAR, FAR):
        wait_for(lambda address=address: shop.frontend.call(call, address, PORT, "Unary")[0] == "OK", f"{address} answers calls", interval=0.1)
    yield shop
    for name in ("calls", "calls-near", "calls-far"):
        objects.remove(f"service-{NAMESPACE}-{name}")
    for program in programs.values():
        program.kill()


@pytest.fixture(params=["same-node", "other-node"])
def address(request, calls):
    return NEAR if request.param == "same-node" else FAR


# ---------------------------------------------------------------- calls go through unchanged

def test_a_call_is_answered_and_shown_as_what_it_is(calls, address):
    status, _, answer, trailers = calls.frontend.call(call, address, PORT, "Unary", b"question")
    assert (status, answer) == ("OK", b"v1:question") and trailers["x-served-by"] == "v1"
    security = {NEAR: "same node", FAR: "mTLS"}[address]
    assert flows(calls.a, protocol="http/2", security=security, destinationService=f"{NAMESPACE}/calls-{'near' if address == NEAR else 'far'}")


def test_streams_flow_in_each_direction_and_both(calls, address):
    assert calls.frontend.call(count_down, address, PORT, 500) == list(range(500, 0, -1))
    assert calls.frontend.call(upload, address, PORT, 50, 100_000) == 5_000_000
    words = [b"%d" % number for number in range(50)]
    assert calls.frontend.call(talk, address, PORT, words) == words


@pytest.mark.parametrize("status", ["NOT_FOUND", "UNAVAILABLE", "INTERNAL", "UNAUTHENTICATED"])
def test_an_error_arrives_with_its_message_and_trailers(calls, address, status):
    seen, message, answer, trailers = calls.frontend.call(call, address, PORT, "Fail", status.encode())
    assert (seen, message, answer) == (status, "no ä % luck", None) and trailers["x-why"] == "asked for"


def test_a_call_that_the_client_gives_up_ends_at_the_server(calls, address):
    status, *_ = calls.frontend.call(call, address, PORT, "Hang", b"", 0.3)
    assert status == "DEADLINE_EXCEEDED"
    assert calls.call_servers["backend-v1-1" if address == NEAR else "backend-v1-2"].hear() == "given up"


def test_a_server_hears_how_much_time_its_call_has(calls, address):
    status, _, answer, _ = calls.frontend.call(call, address, PORT, "TimeoutLeft", b"", 20)
    assert status == "OK" and 15 < float(answer) <= 20.5  # the client rounds it up to what its header can say


def test_a_slow_reader_holds_its_server_back_and_costs_bounded_memory(calls, address):
    mebibytes = 200
    before = proxy_memory_kib(calls)
    client = calls.frontend.spawn(download_slowly, address, PORT, mebibytes)
    assert client.hear() == "begun"
    wait_for(lambda: quiet(calls), "nobody sends any more", interval=0.3)
    assert proxy_memory_kib(calls) < before + 32 * 1024
    os.kill(client.pid, signal.SIGUSR1)
    assert client.hear(60) == mebibytes << 20
    client.result()


def quiet(shop):
    """Whether the bytes of open HTTP/2 flows stand still."""
    def received():
        return sum(flow["bytesReceived"] for node in shop.lab.nodes for flow in node.flows() if flow["verdict"] == "open")
    first = received()
    time.sleep(0.2)
    return received() == first


def test_calls_are_counted_by_their_status(calls, address):
    name = {NEAR: "calls-near", FAR: "calls-far"}[address]
    def counted(status):
        return requests_counted(calls.a, request_protocol="grpc", grpc_response_status=status, response_code="200", destination_service_name=name)
    before = {status: counted(status) for status in ("0", "5", "14")}
    calls.frontend.call(call_many, address, PORT, 30)
    for status in ("NOT_FOUND", "NOT_FOUND"):
        calls.frontend.call(call, address, PORT, "Fail", status.encode())
    grown = {status: counted(status) - count for status, count in before.items()}
    assert grown == {"0": 30, "5": 2, "14": 0}


# ---------------------------------------------------------------- each call is routed for itself

@pytest.fixture
def split(calls):
    """split(v1, v2) applies weights for `calls`."""
    written = []

    def apply(v1, v2, **options):
        written[:] = [calls.lab.objects.write("split-calls", *split_objects(v1, v2, host="calls", **options))]
    yield apply
    for path in written:
        path.unlink()


def await_only(shop, version):
    wait_for(lambda: shop.frontend.call(call_many, CALLS, PORT, 4) == {version: 4}, f"only {version} is called", interval=0.05)


def test_ninety_of_a_hundred_calls_of_one_connection_go_to_v1(calls, split):
    split(0, 100)
    await_only(calls, "v2")
    split(90, 10)
    wait_for(lambda: "v1" in calls.frontend.call(call_many, CALLS, PORT, 20), "the weights are in force")
    before = connections_to_calls(calls)
    seen = calls.frontend.call(call_many, CALLS, PORT, 2000, timeout=120)
    assert set(seen) == {"v1", "v2"} and abs(seen["v1"] - 1800) <= 65  # 4.8 standard deviations
    assert connections_to_calls(calls) == before + 1


def connections_to_calls(shop):
    return sum(1 for flow in shop.a.flows() if flow.get("protocol") == "http/2" and flow["direction"] == "outbound"
               and flow["requestedAddress"] == CALLS)


def test_weights_edited_under_load_fail_no_call(calls, split):
    split(100, 0)
    await_only(calls, "v1")
    client = calls.frontend.spawn(call_until_killed, CALLS, PORT)
    assert client.hear() == "calling"
    for number in range(10):
        split(*((0, 100) if number % 2 == 0 else (100, 0)))
        await_only(calls, "v2" if number % 2 == 0 else "v1")
    os.kill(client.pid, signal.SIGUSR1)
    seen = client.hear()
    client.kill()
    assert set(seen) == {"v1", "v2"}, seen


# ---------------------------------------------------------------- what the proxy answers itself

def test_a_call_without_an_endpoint_fails_as_a_call(calls, split):
    split(100, 0, subsets=("v7", "v8"))
    only = calls.lab.objects.write("split-calls", split_objects(100, 0, ("v7", "v8"), "calls")[0])  # no DestinationRule has these
    assert only.exists()

    def refused():
        status, message, *_ = calls.frontend.call(call, CALLS, PORT, "Unary")
        return status == "UNAVAILABLE" and message
    assert "subset" in wait_for(refused, "the subset is gone", interval=0.1)


def framed(message=b""):
    """A gRPC message without compression."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def curl(pod, url, *options):
    return pod.run(["curl", "-sS", "--max-time", "20", "-D", "-", "--http2-prior-knowledge", *options, url], timeout=30).stdout


def test_the_proxy_ends_a_call_at_its_deadline(calls, address, tmp_path):
    """curl has no deadline of its own."""
    body = tmp_path / "call"
    body.write_bytes(framed())
    head = curl(calls.frontend, f"http://{address}:{PORT}/test.Calls/Hang", "-H", "content-type: application/grpc", "-H", "te: trailers",
                "-H", "grpc-timeout: 300m", "--data-binary", f"@{body}")
    assert "HTTP/2 200" in head and "grpc-status: 4" in head


# ---------------------------------------------------------------- other clients

def test_a_client_of_http1_is_answered_by_a_server_of_http2(calls, address):
    answer = calls.frontend.call(ask, address, PORT, post(framed(b"hello"), "Content-Type: application/grpc", "TE: trailers",
                                                          path="/test.Calls/Unary", host="calls"))
    assert answer.status == 200 and answer.body == framed(b"v1:hello")
    assert ("grpc-status", "0") in answer.trailers


def test_h2load_finds_no_failure_in_5000_calls(calls, address, tmp_path):
    body = tmp_path / "call"
    body.write_bytes(framed(b"hello"))
    done = calls.frontend.run(["h2load", "-n", "5000", "-c", "4", "-m", "25", "-d", str(body), "-H", "content-type: application/grpc",
                               "-H", "te: trailers", f"http://{address}:{PORT}/test.Calls/Unary"], timeout=120)
    assert "5000 succeeded, 0 failed, 0 errored, 0 timeout" in done.stdout, done.stdout


# ---------------------------------------------------------------- what comes and goes

def calling(shop, address=CALLS):
    """A client that calls and calls on one connection."""
    client = shop.frontend.spawn(call_until_killed, address, PORT)
    assert client.hear() == "calling"
    wait_for(lambda: said(client), "calls are answered", interval=0.1)
    return client


def said(client):
    """How its calls went since it was asked last."""
    os.kill(client.pid, signal.SIGUSR1)
    return client.hear()


def test_servers_that_leave_in_peace_and_come_back_lose_no_call(calls):
    """Each says GOAWAY and ends what it has begun; while it is away the others answer."""
    client = calling(calls)
    outcomes = {}
    for name in list(calls.backends):
        old = calls.call_servers[name]
        os.kill(old.pid, signal.SIGUSR1)
        old.result()
        await_more(outcomes, client)  # the others answer
        calls.call_servers[name] = calls.backends[name].spawn(serve_calls, TARGET, calls.backends[name].labels["version"])
        assert calls.call_servers[name].hear() == "listening"
    await_more(outcomes, client)
    client.kill()
    assert set(outcomes) == {"v1", "v2"}, outcomes


def await_more(outcomes, client, count=50):
    """Until it has made so many calls more; how they went is added to `outcomes`."""
    wanted = sum(outcomes.values()) + count

    def enough():
        for who, number in said(client).items():
            outcomes[who] = outcomes.get(who, 0) + number
        return sum(outcomes.values()) >= wanted
    wait_for(enough, f"{count} more calls", timeout=30, interval=0.1)


def test_a_replaced_proxy_loses_no_call(new_shop):
    pod = new_shop.backends["backend-v1-2"]
    server = pod.spawn(serve_calls, TARGET, "v1")
    assert server.hear() == "listening"
    new_shop.lab.objects.service("calls", NAMESPACE, [CALLS], {}, {"name": pod.name}, grpc={PORT: TARGET})
    wait_for(lambda: new_shop.frontend.call(call, CALLS, PORT, "Unary")[0] == "OK", "calls are answered", interval=0.1)
    client, outcomes = calling(new_shop), {}
    for node in (new_shop.a, new_shop.b):
        node.replace_proxy()
        await_more(outcomes, client)
    client.kill()
    assert set(outcomes) == {"v1"}, outcomes
