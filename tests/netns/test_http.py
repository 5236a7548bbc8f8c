"""What happens to a request and its answer on a port that declares HTTP: nothing. Each server is on the caller's node in one run and on
the other node in the next. Most of it holds without a mesh too (LEAT_PLAIN=1)."""
import os
import signal
import socket
import time
import zlib
from collections import Counter

import pytest

from mesh import asks_leat, proxy_memory_kib, requests_counted
from http_programs import Talk, answering, ask, ask_and_leave_when_told, ask_in_turn, chunked, get, ok, post, response, say_and_read_all
from lab.process import ProgramFailed
from programs import CHUNK_BYTES, connect, outcome

MIB = 1 << 20


# ---------------------------------------------------------------- requests and responses go through unchanged

def test_a_request_arrives_as_it_was_sent_and_so_does_its_answer(site):
    server = site.serve(answering(lambda request: ok(b"body", "X-One: 1", "Set-Cookie: a=1", "Set-Cookie: b=2", "x-Two:  spaced out ")))
    answer = site.call(ask, post(b"question", "X-Odd_Name: ~!#$", "Accept: */*", "Cookie: a=1; b=2", path="/a/../b?q=1&r=%20#"[:-1], host="web:80"))
    asked = server.hear()
    assert asked.first == "POST /a/../b?q=1&r=%20 HTTP/1.1" and asked.body == b"question"
    assert asked.headers == [("host", "web:80"), ("content-length", "8"), ("x-odd_name", "~!#$"), ("accept", "*/*"), ("cookie", "a=1; b=2")]
    assert answer.first == "HTTP/1.1 200 X" and answer.body == b"body"
    assert answer.headers == [("x-one", "1"), ("set-cookie", "a=1"), ("set-cookie", "b=2"), ("x-two", "spaced out"), ("content-length", "4")]


@asks_leat
def test_what_concerns_one_connection_only_is_not_passed_on(site):
    server = site.serve(answering(lambda request: ok(b"", "Connection: keep-alive, X-Back", "X-Back: 1", "Keep-Alive: timeout=5", "X-Stays: 1")))
    answer = site.call(ask, get("/", "Connection: X-Private, keep-alive", "X-Private: 1", "Proxy-Connection: keep-alive", "TE: gzip",
                                "Keep-Alive: 5", "X-Public: 1"))
    names = {name for name, _ in server.hear().headers}
    assert "x-public" in names and not names & {"x-private", "proxy-connection", "te", "keep-alive"}
    assert answer.header("x-stays") == "1" and answer.header("x-back") is None and answer.header("keep-alive") is None


def test_pipelined_requests_are_answered_in_their_order(site):
    site.serve(answering(lambda request: ok(request.first.encode())))
    paths = [f"/{number}" for number in range(20)]
    answers = site.call(_pipeline, [get(path) for path in paths])
    assert answers == [f"GET {path} HTTP/1.1".encode() for path in paths]


def _pipeline(address, port, requests):
    with connect(address, port) as sock:
        talk = Talk(sock)
        talk.send(b"".join(requests))
        return [talk.response().body for _ in requests]


def test_chunked_bodies_and_their_trailers_pass_both_ways(site):
    def respond(request):
        body = chunked(b"answer", b" to ", request.body, trailers="X-Sum: 42\r\n")
        return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n" + body
    server = site.serve(answering(respond))
    answer = site.call(ask, get("/", "Transfer-Encoding: chunked", "Trailer: X-End", method="POST") + chunked(b"in ", b"pieces", trailers="X-End: yes\r\n"))
    asked = server.hear()
    assert asked.body == b"in pieces" and asked.trailers == [("x-end", "yes")]
    assert answer.body == b"answer to in pieces" and answer.trailers == [("x-sum", "42")]


def test_a_chunk_reaches_the_other_side_before_the_next_one_is_sent(site):
    """A stream of events: nobody waits for its end."""
    def handle(talk, say):
        talk.request()
        talk.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"one")[:-5])
        say(talk.sock.recv(1))
    server = site.serve(handle)
    client = site.shop.frontend.spawn(_read_one_chunk, site.address, site.port)
    assert client.hear() == b"one"
    client.kill()
    server.hear()


def _read_one_chunk(say, address, port):
    with connect(address, port) as sock:
        sock.sendall(get())
        data = b""
        while b"one" not in data:
            data += sock.recv(CHUNK_BYTES)
        say(b"one")
        time.sleep(60)  # the test ends this program before


@pytest.mark.parametrize("method, status, length", [("HEAD", 200, 1000), ("GET", 204, None), ("GET", 304, 1000)])
def test_an_answer_without_a_body_ends_with_its_head(site, method, status, length):
    head = f"HTTP/1.1 {status} X\r\n" + (f"Content-Length: {length}\r\n" if length else "") + "X-A: 1\r\n\r\n"
    site.serve(answering(lambda request: head.encode()))
    first, second = site.call(_twice, get(method=method), method)
    assert first.status == second.status == status and first.body == b""
    assert first.header("content-length") == (str(length) if length else None)


def _twice(address, port, request, method):
    with connect(address, port) as sock:
        talk = Talk(sock)
        answers = [talk.ask(request, method), talk.ask(request, method)]
        assert not talk.left
        return answers


def test_a_client_that_expects_100_continue_sends_its_body_only_then(site):
    def handle(talk, say):
        head = talk.head()
        say((head.header("expect"), talk.left))
        talk.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        say(b"".join(talk.exactly(5)))
        talk.send(ok(b"done"))
    server = site.serve(handle)
    assert site.call(_expect) == (100, b"done")
    assert server.hear() == ("100-continue", b"") and server.hear() == b"12345"


def _expect(address, port):
    with connect(address, port) as sock:
        talk = Talk(sock)
        interim = talk.ask(get("/", "Content-Length: 5", "Expect: 100-continue", method="POST"))
        return interim.status, talk.ask(b"12345").body


def test_early_hints_come_before_the_answer(site):
    site.serve(answering(lambda request: b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" + ok(b"page")))
    assert site.call(_with_hints) == (103, "</a.css>", b"page")


def _with_hints(address, port):
    with connect(address, port) as sock:
        talk = Talk(sock)
        hints = talk.ask(get())
        return hints.status, hints.header("link"), talk.response().body


def test_an_upgraded_connection_carries_any_bytes_both_ways(site):
    """As a WebSocket does, with bytes that came together with the 101."""
    def handle(talk, say):
        request = talk.request()
        say((request.header("upgrade"), request.header("connection")))
        talk.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n\0first")
        while more := talk.sock.recv(CHUNK_BYTES):
            talk.send(more)
    server = site.serve(handle)
    status, first, echoed = site.call(_upgrade)
    assert (status, first, echoed) == (101, b"\0first", b"\xff\0GET / HTTP/1.1\r\n\r\n" * 1000)
    upgrade, connection = server.hear()
    assert upgrade == "echo" and connection.lower() == "upgrade"


def _upgrade(address, port):
    with connect(address, port) as sock:
        talk = Talk(sock)
        answer = talk.ask(get("/", "Connection: Upgrade", "Upgrade: echo"))
        first = b"".join(talk.exactly(6))
        data = b"\xff\0GET / HTTP/1.1\r\n\r\n" * 1000
        talk.send(data)
        echoed = b"".join(talk.exactly(len(data)))
        sock.shutdown(socket.SHUT_WR)
        assert talk.rest() == b""
        return answer.status, first, echoed


def test_a_refused_upgrade_is_an_ordinary_answer(site):
    site.serve(answering(lambda request: ok(b"no")))
    answers = site.call(ask_in_turn, [get("/", "Connection: Upgrade", "Upgrade: echo"), get()])
    assert [answer.body for answer in answers] == [b"no", b"no"]


# ---------------------------------------------------------------- HTTP/1.0 and ends of connections

def test_an_http_1_0_client_is_answered_and_its_connection_closed(site):
    def respond(request):
        return b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall of it" if "1.0" in request.first else ok(b"all of it")
    site.serve(lambda talk, say: talk.send(respond(talk.request())))
    answer = site.call(say_and_read_all, get(version="1.0"))
    assert answer.startswith(b"HTTP/1.") and answer.endswith(b"\r\n\r\nall of it")


@asks_leat
def test_an_http_1_0_client_gets_no_chunks(site):
    """Its server hears HTTP/1.1 from the mesh and may use them."""
    site.serve(answering(lambda request: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"a", b"b" * 5000, b"c")))
    answer = site.call(say_and_read_all, get(version="1.0"))
    assert answer.endswith(b"\r\n\r\na" + b"b" * 5000 + b"c") and b"transfer-encoding" not in answer.lower()


@asks_leat
def test_an_http_1_0_client_that_asks_for_it_keeps_its_connection(site):
    site.serve(answering(lambda request: ok(b"kept")))
    answers = site.call(ask_in_turn, [get("/", "Connection: keep-alive", version="1.0")] * 3)
    assert [answer.body for answer in answers] == [b"kept"] * 3


def test_an_answer_that_ends_with_its_connection_arrives_whole(site):
    def handle(talk, _):
        talk.request()
        talk.send(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 300000)
    site.serve(handle)
    answer = site.call(ask, get())
    assert answer.body == b"x" * 300000 and answer.whole


@asks_leat
def test_after_an_answer_that_ends_with_its_connection_the_clients_goes_on(site):
    def handle(talk, _):
        talk.request()
        talk.send(b"HTTP/1.1 200 OK\r\n\r\nthe end")
    site.serve(handle)
    assert [answer.body for answer in site.call(ask_in_turn, [get()] * 3)] == [b"the end"] * 3


def test_a_client_that_says_close_is_answered_and_closed(site):
    site.serve(lambda talk, say: talk.send(ok(b"bye", "Connection: close")) if talk.request() else None)
    assert site.call(say_and_read_all, get("/", "Connection: close")).endswith(b"bye")


@pytest.mark.parametrize("head", [b"Content-Length: 1000", b"Transfer-Encoding: chunked"], ids=["length", "chunked"])
def test_an_answer_that_breaks_off_is_no_whole_answer(site, head):
    def handle(talk, _):
        talk.request()
        talk.send(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + (chunked(b"some")[:-5] if head.startswith(b"T") else b"some"))
    site.serve(handle)
    assert site.call(_how_whole) in ("not whole", "reset")


def _how_whole(address, port):
    try:
        return "whole" if ask(address, port, get()).whole else "not whole"
    except ConnectionResetError:
        return "reset"


def test_a_client_that_leaves_takes_its_request_with_it(site):
    """The server hears of it while it still works on the answer."""
    def handle(talk, say):
        talk.request()
        say("working")
        say(outcome(talk.rest))
    server = site.serve(handle)
    client = site.shop.frontend.spawn(ask_and_leave_when_told, site.address, site.port)
    assert client.hear() == "asked" and server.hear() == "working"
    os.kill(client.pid, signal.SIGUSR1)
    assert server.hear(5) in ("ok", "reset")  # its end, or a reset
    client.result()


def test_an_answer_that_comes_before_the_body_was_read_is_delivered(site):
    def handle(talk, _):
        talk.head()
        talk.send(response(413, b"too large", "Connection: close"))
        talk.sock.shutdown(socket.SHUT_WR)
        talk.rest()
    site.serve(handle)
    answer = site.call(_send_a_large_body)
    assert (answer.status, answer.body) == (413, b"too large")


def _send_a_large_body(address, port):
    with connect(address, port) as sock:
        talk = Talk(sock)
        talk.send(get("/", "Content-Length: 1000000", method="POST") + b"x" * 1000)
        answer = talk.response()
        return answer


# ---------------------------------------------------------------- large bodies

@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_large_body_arrives_unchanged_up_and_down(site, framing):
    size = 64 * MIB
    site.serve(_checksum_or_bulk)
    up = site.call(_upload, size, framing, timeout=60)
    down = site.call(_download, size, framing, timeout=60)
    assert up == down == _bulk_checksum(size)


_BLOCK = bytes(range(256)) * 257  # 65,792 bytes: no power of two, so that a lost or doubled block shows


def _bulk(size):
    while size:
        piece = _BLOCK[:size]
        size -= len(piece)
        yield piece


def _bulk_checksum(size):
    checksum = 0
    for piece in _bulk(size):
        checksum = zlib.crc32(piece, checksum)
    return checksum


def _send_bulk(talk, size, framing):
    for piece in _bulk(size):
        talk.send(piece if framing == "length" else b"%x\r\n%s\r\n" % (len(piece), piece))
    if framing != "length":
        talk.send(b"0\r\n\r\n")


def _framing_header(size, framing):
    return f"Content-Length: {size}" if framing == "length" else "Transfer-Encoding: chunked"


def _receive_bulk(talk, head):
    checksum = 0
    if (length := head.header("content-length")) is not None:
        for piece in talk.exactly(int(length)):
            checksum = zlib.crc32(piece, checksum)
        return checksum
    for piece in talk.chunks():
        checksum = zlib.crc32(piece, checksum)
    talk.fields()
    return checksum


def _checksum_or_bulk(talk, _):
    while head := talk.head():
        if head.method == "POST":
            talk.send(ok(str(_receive_bulk(talk, head)).encode()))
        else:
            _, size, framing = head.first.split(" ")[1].split("/")
            talk.send(f"HTTP/1.1 200 OK\r\n{_framing_header(size, framing)}\r\n\r\n".encode())
            _send_bulk(talk, int(size), framing)


def _upload(address, port, size, framing):
    with connect(address, port) as sock:
        talk = Talk(sock)
        talk.send(get("/", _framing_header(size, framing), method="POST"))
        _send_bulk(talk, size, framing)
        return int(talk.response().body)


def _download(address, port, size, framing):
    with connect(address, port) as sock:
        talk = Talk(sock)
        talk.send(get(f"/{size}/{framing}"))
        return _receive_bulk(talk, talk.head())


@asks_leat
@pytest.mark.parametrize("way", ["up", "down"])
def test_a_side_that_does_not_read_costs_the_proxies_a_bounded_memory(site, way):
    def handle(talk, say):
        talk.head()
        if way == "down":
            talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
            say(_send_until_blocked(talk.sock))
        time.sleep(60)  # the test ends this program before
    before = proxy_memory_kib(site.shop)
    server = site.serve(handle)
    client = site.shop.frontend.spawn(_one_sided, site.address, site.port, way)
    sent = (server if way == "down" else client).hear(60)
    grown = proxy_memory_kib(site.shop) - before
    client.kill()
    assert sent < 64 * MIB, "somebody takes bytes without end"
    assert grown < 8 * 1024, f"{grown} KiB more for one blocked connection"


def _one_sided(say, address, port, way):
    sock = connect(address, port)
    if way == "up":
        sock.sendall(get("/", "Content-Length: 1000000000", method="POST"))
        say(_send_until_blocked(sock))
    else:
        sock.sendall(get())
    time.sleep(60)


def _send_until_blocked(sock):
    sock.settimeout(2)  # two seconds without room: every buffer on the way is full
    sent = 0
    try:
        while True:
            sent += sock.send(b"x" * CHUNK_BYTES)
    except TimeoutError:
        return sent


# ---------------------------------------------------------------- connections that are used again

@asks_leat
def test_a_server_that_closes_idle_connections_fails_no_request(site):
    """It answers and closes without a word, as many do after a few seconds: a request may already be on its way."""
    def handle(talk, _):
        if talk.request():
            talk.send(ok(b"once"))
    site.serve(handle)
    answers = site.call(ask_in_turn, [get()] * 100)
    assert Counter(answer.body for answer in answers) == {b"once": 100}


@asks_leat
def test_requests_of_several_clients_share_few_connections_to_the_server(site):
    connections = []

    def handle(talk, _):
        connections.append(talk)
        answering(lambda request: ok(b"%d" % len(connections)))(talk, lambda _: None)
    site.serve(handle)
    for _ in range(5):
        answers = site.call(ask_in_turn, [get()] * 5)
    assert int(answers[-1].body) <= 2  # one a worker


@asks_leat
def test_a_request_that_may_change_something_is_never_sent_twice(site):
    """The server reads it whole and dies without an answer, on a connection that was used before."""
    def handle(talk, say):
        if talk.request():
            talk.send(ok())
        if request := talk.request():
            say(request.method)
    server = site.serve(handle)
    answers = site.call(ask_in_turn, [get(), post(b"order one book")])
    assert [answer.status for answer in answers] == [200, 503]
    assert answers[1].header("leat-reason")
    assert server.hear() == "POST"
    with pytest.raises(ProgramFailed, match="says nothing"):
        server.hear(0.5)


@asks_leat
def test_a_request_that_changes_nothing_is_sent_again_where_a_used_connection_broke(site):
    def handle(talk, say):
        say("connection")
        if talk.request():
            talk.send(ok(b"first"))
        talk.request()  # and dies
    server = site.serve(handle)
    answers = site.call(ask_in_turn, [get(), get()])
    assert [answer.body for answer in answers] == [b"first", b"first"]
    assert server.hear() == server.hear() == "connection"


@asks_leat
def test_a_server_that_is_not_there_is_answered_503_with_the_reason(site):
    site.new_port()
    answer = site.call(ask, get())
    assert answer.status == 503 and answer.header("leat-reason") and answer.body
    assert requests_counted(site.shop.a, response_code="503", response_flags="UF,URX", destination_service_name=site.name) >= 1


@asks_leat
def test_an_answer_that_is_no_http_is_not_passed_on(site):
    site.serve(lambda talk, say: talk.request() and talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef"))
    answer = site.call(ask, get())
    assert answer.status in (502, 503) and answer.header("leat-reason") == "bad-response"


# ---------------------------------------------------------------- an ordinary client

def test_curl_gets_and_posts(site):
    respond = answering(lambda request: ok(f"{request.method} {len(request.body)}".encode()))
    site.serve(lambda talk, _: respond(talk, lambda request: None))
    url = f"http://{site.address}:{site.port}/"
    run = site.shop.frontend.run
    assert run(["curl", "-sS", url, url]).stdout == "GET 0GET 0"
    assert run(["curl", "-sS", "--data-binary", "@-", "-H", "Expect:", url], text_input="x" * 100000).stdout == "POST 100000"
    assert run(["curl", "-sSI", url]).stdout.startswith("HTTP/1.1 200")
