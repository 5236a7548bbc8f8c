"""Strangers on port 15008: each is refused, counted, told apart, and hurts nobody else. They attack from the visitor's pod, which is
outside the mesh; what they hold was signed by the mesh's own authority where it would be too easy otherwise."""
import contextlib
import json
import ssl

import pytest

from mesh import asks_leat, flows
from hostile import END_HEADERS, HEADERS, RST_STREAM, Authority, Http2, frame, literal, refusal, tls
from lab import wait_for
from load import BASE_PORT, Callers, rss_kib, settled, start_backend
from programs import connect, read_all
from shop import BACKEND_PORT

pytestmark = asks_leat
FRONTEND = "spiffe://cluster.local/ns/shop/sa/frontend"


@pytest.fixture(scope="module")
def authority(shop):
    return Authority(shop.lab.ca)


@pytest.fixture(scope="module")
def neighbours(shop, near, far):
    """Honest clients, before and after each attack."""
    backend = start_backend(far)
    yield lambda: Callers(shop.frontend, far.ipv4)
    backend.kill()


@pytest.fixture(autouse=True)
def others_are_unharmed(neighbours):
    callers = neighbours()
    yield
    report = callers.stop()
    assert report["failed"] == {} and report["done"] > 10


def ask(address, pem, authority_text, **options):
    """Opens a tunnel and asks for one stream: its status, or how the tunnel was refused."""
    answers = []

    def attempt():
        peer = Http2(tls(address, pem, **options))
        peer.connect_to(authority_text)
        answers.append(peer.status_of())
    return refusal(attempt) or answers[0]


def refused_metric(node):
    """How many inbound flows this node's proxy ended for a reason of its own, and how many streams it refused before they were one."""
    counters = json.loads(node.leat("metrics", "-o", "json").stdout)
    return sum(counter["value"] for counter in counters if counter["name"] == "leat_hbone_streams_refused_total" or
               counter["name"] == "leat_flows_closed_total" and counter["labels"]["direction"] == "inbound"
               and counter["labels"]["reason"] != "none")


@contextlib.contextmanager
def refused(node, reason, times=1, metric="leat_flows_closed_total"):
    """What is tried while this is entered is counted under this reason, so many times at least."""
    def count():
        return sum(counter["value"] for counter in json.loads(node.leat("metrics", "-o", "json").stdout)
                   if counter["name"] == metric and counter["labels"]["reason"] == reason)
    before = count()
    yield
    wait_for(lambda: count() >= before + times, f"{metric} counts {times} × {reason}", timeout=20, interval=0.1)


BREACH = "leat_hbone_breaches_total"  # of a tunnel whose handshake was in order: it has no flow


def test_an_honest_peer_is_served(shop, far, authority):
    """The reference: without it the refusals below would prove nothing."""
    pem = authority.issue(FRONTEND)
    assert shop.visitor.call(ask, far.ipv4, pem, f"{far.ipv4}:{BACKEND_PORT}") == "200"


def test_the_ids_that_show_an_unknown_peers_address_are_given_back(shop, far, authority):
    """The visitor is outside the mesh: unless the model has an id for its address, its connections borrow one, one for all of them."""
    def held():
        counters = json.loads(shop.b.leat("metrics", "-o", "json").stdout)
        return next(counter["value"] for counter in counters if counter["name"] == "leat_agent_source_ids_held")
    wait_for(lambda: held() == 0, "those of the test before are given back")
    pem = authority.issue(FRONTEND)
    open_tunnel = shop.visitor.spawn(_hold_a_stream, far.ipv4, pem, f"{far.ipv4}:{BACKEND_PORT}")
    assert open_tunnel.hear() == "200"
    assert [shop.visitor.call(ask, far.ipv4, pem, f"{far.ipv4}:{BACKEND_PORT}") for _ in range(5)] == ["200"] * 5
    assert held() <= 1
    open_tunnel.kill()
    wait_for(lambda: held() == 0, "it is given back")


def _hold_a_stream(say, address, pem, authority_text):
    peer = Http2(tls(address, pem))
    peer.connect_to(authority_text)
    say(peer.status_of())
    while True:
        peer.next_frame()


BAD_CERTIFICATES = {
    "none": lambda lab: None,
    "of another authority": lambda lab: Authority().issue(FRONTEND),
    "wrong trust domain": lambda lab: lab.issue("spiffe://other.domain/ns/shop/sa/frontend"),
    "two URI names": lambda lab: lab.issue(FRONTEND, "spiffe://cluster.local/ns/shop/sa/backend"),
    "expired": lambda lab: lab.issue(FRONTEND, days=-2),
    "no SPIFFE name": lambda lab: lab.issue("https://frontend.shop"),
    "name that is not a service account": lambda lab: lab.issue("spiffe://cluster.local/frontend"),
}


@pytest.mark.parametrize("name", BAD_CERTIFICATES)
def test_a_peer_with_a_bad_certificate_is_refused_and_counted(shop, far, authority, name):
    before = refused_metric(shop.b)
    answer = shop.visitor.call(ask, far.ipv4, BAD_CERTIFICATES[name](authority), f"{far.ipv4}:{BACKEND_PORT}")
    assert answer not in ("200", "timeout"), answer
    wait_for(lambda: refused_metric(shop.b) > before, "a metric counts it")


@pytest.mark.parametrize("target", ["another pod", "port 15008", "a name", "no port", "loopback"])
def test_a_connect_to_anything_but_the_pods_own_ports_is_refused_and_counted(shop, near, far, authority, target):
    authorities = {"another pod": f"{near.ipv4}:{BACKEND_PORT}", "port 15008": f"{far.ipv4}:15008", "a name": f"backend:{BACKEND_PORT}",
                   "no port": far.ipv4, "loopback": f"127.0.0.1:{BACKEND_PORT}"}
    before = refused_metric(shop.b)
    answer = shop.visitor.call(ask, far.ipv4, authority.issue(FRONTEND), authorities[target])
    assert answer.startswith("4") or answer in ("reset", "goaway"), answer
    wait_for(lambda: refused_metric(shop.b) > before, "a metric counts it")


def test_flows_gives_the_reason_of_a_refusal(shop, near, far, authority):
    shop.visitor.call(ask, far.ipv4, authority.issue(FRONTEND), f"{near.ipv4}:{BACKEND_PORT}")
    assert flows(shop.b, direction="inbound", verdict="denied", destinationPod=far.name)[-1]["reason"]


def test_a_connect_to_a_closed_port_is_503(shop, far, authority):
    assert shop.visitor.call(ask, far.ipv4, authority.issue(FRONTEND), f"{far.ipv4}:9") == "503"


@pytest.mark.parametrize("offered", ["http/1.1", "nothing"])
def test_a_peer_that_does_not_speak_h2_is_refused(shop, far, authority, offered):
    alpn = ("http/1.1",) if offered == "http/1.1" else ()

    def http1():
        with tls(far.ipv4, authority.issue(FRONTEND), alpn=alpn) as sock:
            sock.sendall(f"CONNECT {far.ipv4}:{BACKEND_PORT} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            if b" 200 " not in sock.recv(4096):
                raise EOFError
    with refused(shop.b, "tls-failed"):
        assert shop.visitor.call(lambda: refusal(http1))
    assert flows(shop.b, direction="inbound", sourceAddress=shop.visitor.ipv4, reason="the TLS handshake failed")


def test_tls_1_2_is_refused(shop, far, authority):
    pem = authority.issue(FRONTEND)
    with refused(shop.b, "tls-failed"):
        how = shop.visitor.call(lambda: refusal(lambda: tls(far.ipv4, pem, version=ssl.TLSVersion.TLSv1_2)))
    assert how and how != "timeout"


@pytest.mark.parametrize("encrypted, reason", [(False, dict(reason="tls-failed")), (True, dict(reason="not_http2", metric=BREACH))],
                         ids=["before TLS", "inside TLS"])
def test_garbage_ends_its_own_connection(shop, far, authority, encrypted, reason):
    pem = authority.issue(FRONTEND)

    def send_garbage():
        sock = tls(far.ipv4, pem) if encrypted else connect(far.ipv4, 15008)
        try:
            sock.sendall(bytes(range(256)) * 64)
            read_all(sock)
        except OSError:
            pass
        return "ended"
    with refused(shop.b, **reason):
        assert shop.visitor.call(send_garbage, timeout=20) == "ended"


def test_half_open_handshakes_are_ended_and_do_not_keep_others_out(shop, far, authority):
    """Three hundred peers that connect and say nothing; an honest one comes through meanwhile; the silent ones are cut off."""
    with refused(shop.b, "handshake-timeout", times=250):
        holder = shop.visitor.spawn(_say_nothing, far.ipv4, 300)
        assert holder.hear(30) > 0
        assert shop.visitor.call(ask, far.ipv4, authority.issue(FRONTEND), f"{far.ipv4}:{BACKEND_PORT}") == "200"
        assert holder.result(60) == "all ended"


def _say_nothing(say, address, count):
    held = []
    for _ in range(count):
        with contextlib.suppress(ConnectionError):  # beyond its share it may be turned away at once
            held.append(connect(address, 15008))
    say(len(held))
    for sock in held:
        sock.settimeout(45)
        with contextlib.suppress(ConnectionError):
            sock.recv(1)
    return "all ended"


def test_ten_thousand_streams_opened_and_reset_cost_bounded_memory(shop, far, authority):
    def memory():
        return sum(rss_kib(pid) for pid in shop.b.worker_pids())
    before = settled(memory, "the proxy's memory")
    with refused(shop.b, "rapid_reset", metric=BREACH):
        outcome = shop.visitor.call(_open_and_reset, far.ipv4, authority.issue(FRONTEND), f"{far.ipv4}:{BASE_PORT}", 10000, timeout=60)
    assert outcome in ("done", "cut off")
    wait_for(lambda: memory() < before + 8192, "the memory is given back", timeout=20)


def _open_and_reset(address, pem, authority_text, count):
    peer = Http2(tls(address, pem))
    block = literal(":method", "CONNECT") + literal(":authority", authority_text)
    try:
        for number in range(count):
            stream = 2 * number + 1
            peer.sock.sendall(frame(HEADERS, END_HEADERS, stream, block) + frame(RST_STREAM, 0, stream, b"\0\0\0\x08"))
    except OSError:
        return "cut off"
    return "done"
