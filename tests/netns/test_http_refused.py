"""What is not served on a port that declares HTTP, how that is said, and what passes because it is no HTTP/1.1 at all."""
import re
import time

import pytest

from mesh import asks_leat
from http_programs import Talk, answering, ask, get, ok, say_and_read_all, serve
from http_sites import routed
from lab import wait_for
from programs import connect, echo, read_exactly
from shop import NAMESPACE


# ---------------------------------------------------------------- what is refused

HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: web\r\n\r\n"
FORGED = {
    "length-and-chunked": b"POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "two-lengths": b"POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 0\r\nContent-Length: 39\r\n\r\n" + HIDDEN,
    "list-of-lengths": b"POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 0, 39\r\n\r\n" + HIDDEN,
    "signed-length": b"POST / HTTP/1.1\r\nHost: web\r\nContent-Length: +39\r\n\r\n" + HIDDEN,
    "length-beyond-all-measure": b"POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 18446744073709551617\r\n\r\n" + HIDDEN,
    "chunked-not-last": b"POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + HIDDEN,
    "chunked-twice": b"POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "odd-coding": b"POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "chunked-in-1.0": b"POST / HTTP/1.0\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "blank-before-colon": b"POST / HTTP/1.1\r\nHost: web\r\nContent-Length : 39\r\n\r\n" + HIDDEN,
    "folded-header": b"POST / HTTP/1.1\r\nHost: web\r\nX-A: 1\r\n Content-Length: 39\r\n\r\n" + HIDDEN,
    "bare-line-feed": b"POST / HTTP/1.1\nHost: web\nContent-Length: 39\n\n" + HIDDEN,
    "bare-carriage-return": b"GET / HTTP/1.1\r\nHost: web\r\nX-A: 1\rContent-Length: 39\r\n\r\n" + HIDDEN,
    "null-byte": b"GET / HTTP/1.1\r\nHost: web\r\nX-A: 1\x002\r\n\r\n",
    "no-host": b"GET / HTTP/1.1\r\n\r\n",
    "two-hosts": b"GET / HTTP/1.1\r\nHost: web\r\nHost: other\r\n\r\n",
    "host-with-user": b"GET / HTTP/1.1\r\nHost: me@web\r\n\r\n",
    "blank-in-target": b"GET /a b HTTP/1.1\r\nHost: web\r\n\r\n",
    "name-that-is-no-token": b"GET / HTTP/1.1\r\nHost: web\r\nX(A): 1\r\n\r\n",
}


@asks_leat
@pytest.mark.parametrize("form", FORGED)
def test_a_request_that_two_readers_could_read_differently_is_refused_and_never_reaches_the_server(sites, form):
    site = sites["other-node"]
    seen = site.serve(answering(lambda request: ok()))
    answer = site.call(say_and_read_all, FORGED[form])
    assert re.match(rb"HTTP/1.1 (400|413|501) ", answer), answer[:100]
    assert len(re.findall(rb"HTTP/1.1 \d", answer)) == 1 and b"leat-reason:" in answer
    site.call(ask, get("/after"))
    assert seen.hear().first == "GET /after HTTP/1.1"
    site.end()


@asks_leat
@pytest.mark.parametrize("size", [b"0x5", b"+5", b"5 ", b"-1", b"", b"g", b"fffffffffffffffff"])
def test_a_chunk_of_a_doubtful_size_ends_the_connection(site, size):
    server = site.serve(answering(lambda request: ok()))
    request = get("/", "Transfer-Encoding: chunked", method="POST") + size + b"\r\nhello\r\n0\r\n\r\n" + HIDDEN
    answer = site.call(say_and_read_all, request)
    assert b" 200 " not in answer
    site.call(ask, get("/after"))
    assert server.hear().first == "GET /after HTTP/1.1"


@asks_leat
@pytest.mark.parametrize("request_bytes, statuses", [
    (b"GET / HTTP/2.1\r\nHost: web\r\n\r\n", (505,)), (b"CONNECT other:80 HTTP/1.1\r\nHost: other:80\r\n\r\n", (405, 501)),
    (get("/", "X-Large: " + "x" * 200_000), (431,)), (get("/" + "x" * 200_000), (414, 431)),
], ids=["version", "connect", "head-too-large", "target-too-long"])
def test_what_is_not_served_is_answered_with_its_status_and_the_reason(sites, request_bytes, statuses):
    site = sites["same-node"]
    site.serve(answering(lambda request: ok()))
    answer = site.call(ask, request_bytes)
    assert answer.status in statuses and answer.header("leat-reason") and answer.body
    site.end()


# ---------------------------------------------------------------- what is no HTTP

@pytest.mark.parametrize("first", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\0\0\0\0", b"+PING\r\n"],
                         ids=["tls", "zeroes", "redis"])
def test_bytes_that_are_no_request_pass_a_port_that_declares_http(site, first):
    port = site.new_port()
    task = site.pod.spawn(echo, port)
    assert task.hear() == "listening"
    assert site.shop.frontend.call(_echoed, site.address, port, first) == first
    task.kill()


def _echoed(address, port, data):
    with connect(address, port) as sock:
        sock.sendall(data)
        return read_exactly(sock, len(data))


@asks_leat
def test_on_a_port_that_declares_nothing_but_is_routed_both_kinds_are_served(shop, far):
    """A server that speaks first is heard soon, and a client that sends HTTP is routed."""
    objects, address = shop.lab.objects, "10.96.0.50"
    objects.service("quiet", NAMESPACE, [address], {25: 9025, 80: 9080}, {"name": far.name})
    path = objects.write("quiet", routed([{"match": [{"uri": {"prefix": "/yes"}}], "route": [{"destination": {"host": "quiet"}}]}], "quiet"))
    mail = far.spawn(serve, 9025, lambda talk, say: talk.send(b"220 welcome\r\n") or talk.rest())
    web = far.spawn(serve, 9080, answering(lambda request: ok(b"web")))
    assert mail.hear() == web.hear() == "listening"
    try:
        wait_for(lambda: shop.frontend.call(_status, address, 80, get("/no")) == 404, "the route is in force")
        assert shop.frontend.call(ask, address, 80, get("/yes")).body == b"web"
        greeting, waited = shop.frontend.call(_hear_greeting, address, 25)
        assert greeting == b"220 welcome\r\n" and waited < 2
    finally:
        path.unlink()
        objects.remove(f"service-{NAMESPACE}-quiet")
        for program in (mail, web):
            program.kill()


def _status(address, port, request):
    try:
        return ask(address, port, request).status
    except (OSError, EOFError) as error:
        raise AssertionError(f"no answer: {error}") from None


def _hear_greeting(address, port):
    started = time.monotonic()
    with connect(address, port) as sock:
        return read_exactly(sock, 13), time.monotonic() - started


def test_a_client_may_take_its_time_with_the_first_byte(site):
    site.serve(answering(lambda request: ok(b"patient")))
    assert site.call(_ask_slowly).body == b"patient"


def _ask_slowly(address, port):
    with connect(address, port) as sock:
        time.sleep(0.5)  # longer than detection waits
        for byte in get():
            sock.sendall(bytes([byte]))
        return Talk(sock).response()
