"""Servers that die, hang, fail or are slow, under the load of a client: what of it the client notices. Each faulty server stands beside two
good ones, on the caller's node in one run and on the other node in the next."""
import contextlib
import itertools
import os
import signal
import statistics
import threading
import time
from collections import Counter

import pytest

from mesh import asks_leat, counted, requests_counted
from http_programs import Talk, answering, ask, chunked, get, ok, post, response, serve
from http_sites import routed
from lab import wait_for
from lab.process import ProgramFailed
from programs import connect, outcome
from shop import NAMESPACE

pytestmark = asks_leat
ADDRESS = "10.96.0.45"
_ports = itertools.count(9300)  # of the servers: one test's connections are none of the next one's


class Trio:
    """The Service `trio`: an HTTP port of three pods, whose servers a test starts and ends. The frontend is on the node of `near`."""

    def __init__(self, shop):
        self.shop = shop
        self.pods = dict(zip(("near", "far", "other"), shop.backends.values()))
        self.servers = {}
        self.port = next(_ports)
        self._routes = None

    def serve(self, **handlers):
        """The pods' servers, by the pods' names above; pods that are not named have none. No object says anything of requests."""
        self._start_all(handlers)
        wait_for(lambda: outcome(lambda: self.call(ask, get())) == "ok", "the Service is in force")
        for name in self.servers:
            self.heard(name)

    def serve_by(self, handlers, annotations=None, **fields):
        """The same behind a route with these fields, and a second one that tells when it is in force."""
        self._start_all(handlers)
        probe = {"match": [{"uri": {"exact": f"/in-force-{self.port}"}}], "route": [{"destination": {"host": "trio", "subset": "none"}}]}
        self._routes = self.shop.lab.objects.write("trio-routes", routed([probe, {"route": [{"destination": {"host": "trio"}}], **fields}], "trio", annotations))
        wait_for(lambda: outcome(self._find_probe) == "ok", "the route is in force")
        self.all_heard()  # of probes that came before the route

    def _find_probe(self):
        if self.call(ask, get(f"/in-force-{self.port}")).header("leat-reason") != "no-subset":
            raise EOFError

    def _start_all(self, handlers):
        for name, handle in handlers.items():
            self.start(name, handle)
        self.shop.lab.objects.service("trio", NAMESPACE, [ADDRESS], {}, {"app": "backend"}, http={self.port: self.port})

    def start(self, name, handle):
        self.servers[name] = self.pods[name].spawn(serve, self.port, handle)
        assert self.servers[name].hear() == "listening"

    def call(self, function, *arguments, timeout=60):
        return self.shop.frontend.call(function, ADDRESS, self.port, *arguments, timeout=timeout)

    def callers(self, threads=4, pause=0.0):
        return Callers(self.shop.frontend, self.port, threads, pause)

    def heard(self, name):
        """What this server has said since the last time."""
        said = []
        with contextlib.suppress(ProgramFailed):
            while True:
                said.append(self.servers[name].hear(0.3))
        return said

    def all_heard(self):
        return sum(len(self.heard(name)) for name in self.servers)

    def end(self):
        for server in self.servers.values():
            server.kill()
        if self._routes:
            self._routes.unlink()
        self.shop.lab.objects.remove(f"service-{NAMESPACE}-trio")


@pytest.fixture
def trio(shop):
    made = Trio(shop)
    yield made
    made.end()


class Callers:
    """Threads that ask one request after the other, each on a connection of its own, until `stop()`."""

    def __init__(self, pod, port, threads, pause):
        self._task = pod.spawn(_call_until_told, port, threads, pause)
        assert self._task.hear() == "calling"

    def count(self):
        """How many answers there were so far."""
        os.kill(self._task.pid, signal.SIGUSR2)
        return self._task.hear(10)

    def await_more(self, more):
        before = self.count()
        wait_for(lambda: self.count() >= before + more, f"{more} more requests are answered", timeout=30, interval=0.05)

    def stop(self):
        """Counts of answers by status and body, or what went wrong."""
        os.kill(self._task.pid, signal.SIGUSR1)
        return Counter(self._task.result(30))


def _call_until_told(say, port, threads, pause):
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGUSR2])
    stop, seen = threading.Event(), [Counter() for _ in range(threads)]

    def call(mine):
        while not stop.is_set():
            try:
                with connect(ADDRESS, port) as sock:
                    talk = Talk(sock)
                    while not stop.is_set():
                        answer = talk.ask(get(host="trio"))
                        mine[f"{answer.status} {answer.body.decode()}"] += 1
                        stop.wait(pause)
            except (OSError, EOFError) as error:
                mine[f"{type(error).__name__}: {error}"] += 1
    workers = [threading.Thread(target=call, args=(each,)) for each in seen]
    for worker in workers:
        worker.start()
    say("calling")
    while signal.sigwait([signal.SIGUSR1, signal.SIGUSR2]) == signal.SIGUSR2:
        say(sum(each.total() for each in seen))
    stop.set()
    for worker in workers:
        worker.join()
    return dict(sum(seen, Counter()))


def good(talk, _):
    while talk.request():
        talk.send(ok(b"good"))


def unavailable(talk, say):
    while request := talk.request():
        say(request.method)
        talk.send(response(503, b"not now"))


def hung(talk, say):
    """Reads requests and says nothing."""
    while request := talk.request():
        say(request.method)


BAD_ONES = pytest.mark.parametrize("bad", ["near", "far"])


# ---------------------------------------------------------------- with no word about retries in any object

@BAD_ONES
def test_a_backend_that_is_killed_under_load_is_not_noticed(trio, bad):
    trio.serve(near=good, far=good, other=good)
    callers = trio.callers()
    for _ in range(5):
        callers.await_more(100)
        trio.servers[bad].kill()
        callers.await_more(100)
        trio.start(bad, good)
    seen = callers.stop()
    assert seen.keys() == {"200 good"} and seen.total() > 1000


@BAD_ONES
def test_a_backend_that_answers_503_is_not_noticed(trio, bad):
    trio.serve(**{name: unavailable if name == bad else good for name in trio.pods})
    callers = trio.callers()
    callers.await_more(1000)
    seen = callers.stop()
    assert seen.keys() == {"200 good"}
    assert trio.heard(bad), "it was asked"


@BAD_ONES
def test_a_backend_that_dies_over_each_request_is_not_noticed(trio, bad):
    trio.serve(**{name: (lambda talk, say: talk.request()) if name == bad else good for name in trio.pods})
    callers = trio.callers()
    callers.await_more(500)
    assert callers.stop().keys() == {"200 good"}


def test_what_may_change_something_is_not_sent_twice_where_nobody_says_so(trio):
    trio.serve(**dict.fromkeys(trio.pods, unavailable))
    answer = trio.call(ask, post(b"one book"))
    assert (answer.status, answer.body) == (503, b"not now")
    assert trio.all_heard() == 1
    assert trio.call(ask, get()).body == b"not now"
    assert trio.all_heard() == 3, "and what changes nothing is, twice"
    assert requests_counted(trio.shop.a, response_flags="URX", response_code="503", destination_service_name="trio") >= 1


# ---------------------------------------------------------------- with a route's word

@BAD_ONES
def test_a_hung_backend_is_left_after_the_time_of_a_try(trio, bad):
    trio.serve_by({name: hung if name == bad else good for name in trio.pods}, retries={"attempts": 2, "perTryTimeout": "200ms", "retryOn": "reset"})
    callers = trio.callers()
    callers.await_more(200)
    assert callers.stop().keys() == {"200 good"}
    assert trio.heard(bad)


def test_a_backend_that_takes_connections_and_never_reads_is_left_too(trio):
    """Half open, as one whose process is stopped: its kernel still accepts."""
    trio.serve_by(dict(near=hung, far=good, other=good), retries={"attempts": 2, "perTryTimeout": "200ms", "retryOn": "reset"})
    os.kill(trio.servers["near"].pid, signal.SIGSTOP)
    callers = trio.callers()
    callers.await_more(200)
    assert callers.stop().keys() == {"200 good"}


@BAD_ONES
def test_a_route_that_takes_too_long_is_answered_504(trio, bad):
    trio.serve_by({bad: hung}, timeout="300ms")
    started = time.monotonic()
    answer = trio.call(ask, get())
    assert answer.status == 504 and answer.header("leat-reason") == "response-timeout"
    assert 0.3 <= time.monotonic() - started < 3
    assert requests_counted(trio.shop.a, response_code="504", response_flags="UT", destination_service_name="trio") >= 1


def test_a_body_that_comes_slowly_is_not_what_the_timeout_counts(trio):
    trio.serve_by(dict(near=answering(lambda request: ok(request.body))), timeout="300ms")
    assert trio.call(_post_slowly).body == b"12345"


def _post_slowly(address, port):
    with connect(address, port) as sock:
        talk = Talk(sock)
        talk.send(get("/", "Content-Length: 5", method="POST"))
        for byte in b"12345":
            time.sleep(0.15)
            talk.send(bytes([byte]))
        return talk.response()


def test_a_response_that_outlives_the_timeout_is_cut_not_ended(trio):
    def handle(talk, _):
        talk.request()
        talk.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"first")[:-5])
        talk.rest()
    trio.serve_by(dict(near=handle), timeout="300ms")
    assert trio.call(_how_whole) in ("not whole", "reset")


def _how_whole(address, port):
    try:
        return "whole" if ask(address, port, get()).whole else "not whole"
    except ConnectionResetError:
        return "reset"


def test_a_slow_backend_is_waited_for_where_nobody_sets_a_time(trio):
    def handle(talk, _):
        talk.request()
        time.sleep(2)
        talk.send(ok(b"slow"))
    trio.serve(near=handle)
    assert trio.call(ask, get()).body == b"slow"


def test_a_body_is_sent_again_as_it_was(trio):
    """Whole in one run, piece by piece in the next, and with a body too large to be kept none."""
    trio.serve_by(dict(near=unavailable_after_body, far=unavailable_after_body, other=echoing), retries={"attempts": 2, "retryOn": "503"})
    for size in (1, 5000, 60000):
        body = bytes(range(256)) * (size // 256 + 1)
        body = body[:size]
        assert trio.call(ask, post(body)).body == body
        answer = trio.call(ask, get("/", "Transfer-Encoding: chunked", method="POST") + chunked(body[:size // 2], body[size // 2:]) if size > 1
                           else post(body))
        assert answer.body == body


def unavailable_after_body(talk, say):
    while request := talk.request():
        say(len(request.body))
        talk.send(response(503))


def echoing(talk, _):
    while request := talk.request():
        talk.send(ok(request.body))


def test_a_body_that_is_too_large_to_be_kept_is_sent_once(trio):
    trio.serve_by(dict.fromkeys(trio.pods, unavailable_after_body), retries={"attempts": 2, "retryOn": "503"})
    assert trio.call(ask, post(b"x" * 65536)).status == 503
    assert [len(trio.heard(name)) for name in trio.pods] == [1, 1, 1]
    assert trio.call(ask, post(b"x" * 65537)).status == 503
    assert trio.all_heard() == 1
    answer = trio.call(ask, get("/", "Transfer-Encoding: chunked", method="POST") + chunked(*[b"x" * 1000] * 80))
    assert answer.status == 503
    assert trio.all_heard() == 1


def test_after_bytes_of_a_response_nothing_is_tried_again(trio):
    def handle(talk, say):
        say(talk.request().method)
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
    trio.serve_by(dict(near=handle, far=handle, other=handle), retries={"attempts": 3, "retryOn": "5xx,reset"})
    assert trio.call(_how_whole) in ("not whole", "reset")
    assert trio.all_heard() == 1


def test_hosts_that_were_tried_come_last(trio):
    trio.serve_by(dict.fromkeys(trio.pods, unavailable), retries={"attempts": 2, "retryOn": "503"})
    for _ in range(5):
        assert trio.call(ask, get()).status == 503
    assert [len(trio.heard(name)) for name in trio.pods] == [5, 5, 5]


def test_retries_keep_within_their_budget_when_everything_fails(trio):
    trio.serve_by({name: counting(name) for name in trio.pods}, retries={"attempts": 5, "retryOn": "503"})
    callers = trio.callers(threads=32)
    callers.await_more(3000)
    seen = callers.stop()
    tries = {}
    while len(tries) < 3:
        name, count = trio.call(ask, get("/count")).body.decode().split()
        tries[name] = int(count)
    print(f"{seen.total()} requests, {tries} tries")
    assert seen.keys() == {"503 not now"}
    assert sum(tries.values()) < 1.35 * seen.total(), "a fifth, and the three that are always allowed"


def counting(name):
    """A handler that answers 503, and at /count its name and how many requests came to its server."""
    count = itertools.count()

    def counted_503():
        next(count)
        return response(503, b"not now")

    def handle(talk, _):
        while request := talk.request():
            talk.send(ok(f"{name} {next(count)}".encode()) if "/count" in request.first else counted_503())
    return handle


def test_no_retries_means_none(trio):
    trio.serve_by(dict.fromkeys(trio.pods, unavailable), retries={"attempts": 0})
    assert trio.call(ask, get()).status == 503
    assert trio.all_heard() == 1


def test_the_mesh_may_set_the_default(trio):
    trio.serve(**dict.fromkeys(trio.pods, unavailable))
    trio.shop.lab.objects.mesh(retries={"attempts": 0}, reasonHeader=False)
    try:
        def asked_once():
            assert trio.call(ask, get()).status == 503
            return trio.all_heard() == 1
        wait_for(asked_once, "the Mesh object is in force")
    finally:
        trio.shop.lab.objects.mesh()


# ---------------------------------------------------------------- latency

@pytest.mark.parametrize("where", ["near", "far"])
def test_a_server_that_writes_head_and_body_apart_is_not_made_to_wait(trio, where):
    """It holds the body back until the head is acknowledged (Nagle's algorithm), and on a connection that lives on the kernel takes 40 ms
    for that. Its clients' connections are new, so that without a mesh they would not wait either."""
    def handle(talk, _):
        while talk.request():
            talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
            talk.send(b"hello")
    trio.serve_by({where: handle})
    took = trio.call(_answer_times, 60)
    assert statistics.median(took) < 0.02, took


def _answer_times(address, port, count):
    """Of requests on connections of their own, without the first ones."""
    took = []
    for _ in range(count):
        started = time.monotonic()
        ask(address, port, get())
        took.append(time.monotonic() - started)
    return took[20:]


def test_what_a_request_names_or_a_server_limits_is_tried_again_where_the_route_says_so(trio):
    def marked(*headers):
        def handle(talk, say):
            while request := talk.request():
                say(request.method)
                talk.send(response(503 if "envoy" in headers[0] else 200, b"marked", *headers))
        return handle
    named = get("/", "x-envoy-retriable-header-names: x-other, X-Come-Back")
    trio.serve_by(dict(near=marked("x-come-back: yes"), far=good, other=good), retries={"attempts": 1, "retryOn": "retriable-headers"})
    while not trio.heard("near"):
        assert trio.call(ask, named).body == b"good"
    assert b"marked" in {trio.call(ask, get()).body for _ in range(40)}, "who names nothing gets what there is"


def test_a_server_that_asks_for_less_is_left_alone_unless_the_route_says_otherwise(trio):
    def limited(talk, say):
        while request := talk.request():
            say(request.method)
            talk.send(response(503, b"less", "x-envoy-ratelimited: true"))
    handlers = dict(near=limited, far=good, other=good)
    trio.serve_by(handlers, retries={"attempts": 1, "retryOn": "5xx"})
    assert b"less" in {trio.call(ask, get()).body for _ in range(40)}
    trio.end()
    trio.servers.clear()
    trio.serve_by(handlers, retries={"attempts": 1, "retryOn": "envoy-ratelimited"})
    trio.all_heard()
    while not trio.heard("near"):
        assert trio.call(ask, get()).body == b"good"


# ---------------------------------------------------------------- hedging

@BAD_ONES
def test_a_slow_backend_is_overtaken_where_a_route_hedges(trio, bad):
    """It answers after five seconds; nobody waits so long, and it hears that nobody waits any more."""
    def slow(talk, say):
        while request := talk.head():
            say(request.method)
            talk.sock.settimeout(5)
            try:
                talk.sock.recv(1)
                return say("let go")
            except ConnectionError:
                return say("let go")
            except TimeoutError:
                talk.send(ok(b"slow"))
    trio.serve_by({name: slow if name == bad else good for name in trio.pods}, annotations={"leat.dev/hedge-after": "100ms"})
    said = []
    while "GET" not in said:
        started = time.monotonic()
        assert trio.call(ask, get()).body == b"good"
        assert time.monotonic() - started < 4
        said += trio.heard(bad)
    wait_for(lambda: said.extend(trio.heard(bad)) or "let go" in said, "the slow one is let go")
    assert counted(trio.shop.a, "leat_hedges_total", result="won") >= 1


def test_a_post_is_never_hedged(trio):
    def slow(talk, say):
        while request := talk.request():
            say(request.method)
            time.sleep(0.5)
            talk.send(ok(b"slow"))
    trio.serve_by(dict.fromkeys(trio.pods, slow), annotations={"leat.dev/hedge-after": "50ms"})
    assert trio.call(ask, post(b"one book")).body == b"slow"
    assert trio.all_heard() == 1
