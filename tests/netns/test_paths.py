"""What happens to a connection's bytes, and which way they take."""
import json
import itertools
import os
import signal
import socket
import time

import pytest

from mesh import asks_leat, flows, no_flows, proxy_memory_kib
from lab import wait_for
from lab.services import VirtualService
from programs import (CHUNK_BYTES, connect, echo, outcome, read_all, read_exactly, reset, serve_one, transfer, try_connect)
from shop import BACKEND_PORT, BACKEND_TCP_PORT, BACKEND_VIP, NAMESPACE

_ports = itertools.count(20000)
GIB = 1 << 30


@pytest.fixture
def port():
    return next(_ports)


@pytest.fixture
def echo_server(server, port):
    task = server.spawn(echo, port)
    assert task.hear() == "listening"
    yield server, port, task
    task.kill()


# ---------------------------------------------------------------- encrypted, and from whom

@asks_leat
def test_cross_node_bytes_are_tls_1_3_on_the_wire_and_the_plaintext_marker_is_not(shop, far):
    with shop.a.wire_to(shop.b) as wire:
        answer = shop.ask(20, url=f"http://{far.ipv4}:{BACKEND_PORT}/")
    assert answer["pods"] == {far.name: 20}
    assert not wire.saw(b"leat-plaintext-marker")
    assert wire.tls_records() > 0
    flow = flows(shop.a, path="hbone", sourcePod="frontend", destinationPod=far.name)[0]
    assert flow["peerIdentity"] == "spiffe://cluster.local/ns/shop/sa/backend"


def test_the_application_sees_the_real_client_address(shop, server):
    assert shop.ask(3, url=f"http://{server.ipv4}:{BACKEND_PORT}/")["clients"] == {shop.frontend.ipv4: 3}
    assert shop.ask(3, url=f"http://[{server.ipv6}]:{BACKEND_PORT}/")["clients"] == {shop.frontend.ipv6: 3}


@pytest.mark.parametrize("port", [BACKEND_PORT, BACKEND_TCP_PORT], ids=["http", "tcp"])
def test_a_service_spreads_connections_over_all_its_endpoints(shop, port):
    answer = shop.ask(120, url=f"http://backend:{port}/")
    assert not answer["failed"]
    assert set(answer["pods"]) == set(shop.backends)
    assert all(15 <= count <= 80 for count in answer["pods"].values()), answer["pods"]


# ---------------------------------------------------------------- bytes

@pytest.mark.parametrize("size", [GIB], ids=["1GiB"])
def test_bulk_arrives_unchanged_both_ways_at_once(shop, server, port, size):
    task = server.spawn(serve_one, port, transfer, size, b"server")
    assert task.hear() == "listening"
    mine = shop.frontend.call(_transfer_with, server.ipv4, port, size, timeout=180)
    theirs = task.hear(60)
    assert mine["sent"] == theirs["received"] and mine["received"] == theirs["sent"]


def _transfer_with(address, port, size):
    with connect(address, port) as sock:
        return transfer(sock, size, b"client")


@asks_leat
def test_a_slow_reader_costs_the_proxies_a_bounded_memory(shop, far, port):
    before = proxy_memory_kib(shop)
    task = far.spawn(serve_one, port, _read_when_told)
    assert task.hear() == "listening"
    sender = shop.frontend.spawn(_send_until_blocked, far.ipv4, port)
    accepted = sender.hear(60)
    grown = proxy_memory_kib(shop) - before
    task.kill()
    sender.kill()
    assert accepted < 64 << 20, "somebody takes bytes without end"
    assert grown < 8 * 1024, f"{grown} KiB more for one blocked connection"


def _read_when_told(sock):
    time.sleep(600)  # the test ends this program long before


def _send_until_blocked(say, address, port):
    sock = connect(address, port)
    sock.settimeout(2)  # two seconds without room: every buffer on the way is full
    sent = 0
    try:
        while True:
            sent += sock.send(b"x" * CHUNK_BYTES)
    except TimeoutError:
        say(sent)
    time.sleep(600)


def test_a_server_that_speaks_first_is_heard(shop, server, port):
    task = server.spawn(serve_one, port, lambda sock: sock.sendall(b"220 welcome\r\n"))
    assert task.hear() == "listening"
    assert shop.frontend.call(lambda: read_exactly(connect(server.ipv4, port), 13)) == b"220 welcome\r\n"


# ---------------------------------------------------------------- ends

def test_the_clients_half_close_reaches_the_server_which_still_answers(shop, server, port):
    task = server.spawn(serve_one, port, _answer_after_the_end)
    assert task.hear() == "listening"
    assert shop.frontend.call(_half_close, server.ipv4, port) == b"got 300000"


def _answer_after_the_end(sock):
    received = len(read_all(sock))
    sock.sendall(b"got %d" % received)
    sock.close()
    return received


def _half_close(address, port):
    with connect(address, port) as sock:
        sock.sendall(b"x" * 300000)
        sock.shutdown(socket.SHUT_WR)
        return read_all(sock)


def test_the_servers_half_close_reaches_the_client_which_still_sends(shop, server, port):
    task = server.spawn(serve_one, port, _end_first)
    assert task.hear() == "listening"
    assert shop.frontend.call(_send_after_the_end, server.ipv4, port) == b"that was all"
    assert task.hear() == 300000


def _end_first(sock):
    sock.sendall(b"that was all")
    sock.shutdown(socket.SHUT_WR)
    return len(read_all(sock))


def _send_after_the_end(address, port):
    with connect(address, port) as sock:
        greeting = read_all(sock)
        sock.sendall(b"x" * 300000)
        return greeting


def test_a_reset_by_the_client_is_a_reset_for_the_server(shop, server, port):
    task = server.spawn(serve_one, port, _how_it_ends)
    assert task.hear() == "listening"
    shop.frontend.call(_ask_and_reset, server.ipv4, port)
    assert task.hear() == "reset"


def _how_it_ends(sock):
    sock.sendall(sock.recv(1))
    return outcome(lambda: read_all(sock))


def _ask_and_reset(address, port):
    sock = connect(address, port)
    sock.sendall(b"?")
    read_exactly(sock, 1)
    reset(sock)


def test_a_reset_by_the_server_is_a_reset_for_the_client(shop, server, port):
    task = server.spawn(serve_one, port, lambda sock: (sock.recv(1), reset(sock)) and None)
    assert task.hear() == "listening"
    assert shop.frontend.call(_ask_and_wait, server.ipv4, port) == "reset"


def _ask_and_wait(address, port):
    sock = connect(address, port)
    sock.sendall(b"?")
    return outcome(lambda: read_all(sock))


def test_a_closed_port_refuses_or_resets_within_the_connect_timeout(shop, server, port):
    start = time.monotonic()
    assert shop.frontend.call(try_connect, server.ipv4, port) in ("refused", "reset")
    assert time.monotonic() - start < 6


# ---------------------------------------------------------------- which way

@asks_leat
@pytest.mark.parametrize("asked", ["service", "pod"])
def test_same_node_traffic_goes_application_to_application_in_the_kernel(shop, near, asked):
    """For a Service the local endpoint's share does, on a port that nothing is to be routed on."""
    address = f"{BACKEND_VIP}:{BACKEND_TCP_PORT}" if asked == "service" else f"{near.ipv4}:{BACKEND_PORT}"
    with _counting_proxied(shop) as proxied:
        answered = shop.ask(30, url=f"http://{address}/")["pods"]
    assert answered[near.name] > 0
    assert proxied() == 30 - answered[near.name]
    flow = flows(shop.a, path="direct", sourcePod="frontend", destinationPod=near.name)[-1]
    assert flow["verdict"] in ("ok", "open") and flow["bytesReceived"] > 0


@asks_leat
@pytest.mark.parametrize("mode, path", [("proxy", "proxy"), ("mtls", "hbone"), ("direct", "direct")])
def test_the_same_node_setting_chooses_the_way(shop, near, port, mode, path):
    task = near.spawn(echo, port)
    assert task.hear() == "listening"
    shop.lab.objects.mesh(sameNode=mode)
    try:
        def takes_it():
            assert shop.frontend.call(try_connect, near.ipv4, port) == "ok"
            return not no_flows(shop.a, path=path, destinationPort=port, sourcePod="frontend")
        wait_for(takes_it, f"sameNode: {mode} takes the path {path}", interval=0.1)
    finally:
        shop.lab.objects.mesh(sameNode="direct")
        task.kill()


class _counting_proxied:
    """How many connections the proxy of node-a accepted while this was entered."""

    def __init__(self, shop):
        self._shop = shop

    def __enter__(self):
        before = self._count()
        return lambda: self._count() - before

    def __exit__(self, *_):
        pass

    def _count(self):
        counters = json.loads(self._shop.a.leat("metrics", "-o", "json").stdout)
        return sum(each["value"] for each in counters
                   if each["name"] == "leat_flows_opened_total" and each["labels"]["direction"] == "outbound")


@asks_leat
def test_a_namespace_that_is_not_enrolled_keeps_its_4_tuple_and_never_meets_the_proxy(shop, far, echo_server):
    server, port, task = echo_server
    name = shop.visitor.call(_own_address_after_echo, server.ipv4, port)
    peer, seen_peer, local = task.hear()
    assert _plain(peer) == _plain(seen_peer) == tuple(name)
    assert _plain(local) == (server.ipv4, port)
    assert all(no_flows(node, path=path, sourcePod="visitor") for node in shop.lab.nodes for path in ("proxy", "hbone"))


@asks_leat
def test_a_destination_outside_the_mesh_keeps_its_4_tuple_and_never_meets_the_proxy(shop, port):
    task = shop.visitor.spawn(echo, port)
    assert task.hear() == "listening"
    with shop.a.wire_to(shop.b) as wire:
        name = shop.frontend.call(_own_address_after_echo, shop.visitor.ipv4, port)
        peer, _, local = task.hear()
    task.kill()
    assert _plain(peer) == tuple(name) and _plain(local) == (shop.visitor.ipv4, port)
    assert (name[0], name[1], shop.visitor.ipv4, port) in {
        (segment.source, segment.source_port, segment.destination, segment.destination_port) for segment in wire.segments()}
    assert all(no_flows(shop.a, path=path, destinationPort=port) for path in ("proxy", "hbone"))


@asks_leat
def test_a_connection_out_of_the_mesh_is_listed_as_untouched_while_it_lives(shop, port):
    task = shop.visitor.spawn(echo, port)
    assert task.hear() == "listening"
    client = shop.frontend.spawn(_echo_when_told, shop.visitor.ipv4, port)
    assert client.hear() == "open"
    [flow] = flows(shop.a, path="untouched", sourcePod="frontend", destinationPort=port)
    assert (flow["destinationAddress"], flow["verdict"]) == (shop.visitor.ipv4, "open")
    assert (flow["bytesSent"], flow["bytesReceived"]) == (1, 1)
    os.kill(client.pid, signal.SIGUSR1)
    assert client.result(10) == "alive"
    wait_for(lambda: no_flows(shop.a, path="untouched", destinationPort=port), "it is gone from the list with its end")
    task.kill()


def _own_address_after_echo(address, port):
    with connect(address, port) as sock:
        sock.sendall(b"?")
        read_exactly(sock, 1)
        return sock.getsockname()[:2]


def _plain(name):
    return name[0].removeprefix("::ffff:"), name[1]


@asks_leat
@pytest.mark.parametrize("label", ["pod", "namespace"])
def test_opting_in_and_out_takes_new_connections_and_leaves_live_ones_alone(shop, far, port, label):
    task = far.spawn(echo, port)
    assert task.hear() == "listening"
    objects, frontend = shop.lab.objects, shop.frontend

    def enrol(enrolled):
        if label == "namespace":
            objects.namespace(NAMESPACE, enrolled)
        else:
            objects.pod(frontend, {"app": "frontend"} | ({} if enrolled else {"leat.dev/mesh": "disabled"}))

    def way_of_a_new_connection():
        with shop.a.wire_to(shop.b) as wire:
            assert frontend.call(_say_marker, far.ipv4, port)
        return "untouched" if wire.saw(b"seen-by-all") else "mesh"

    live_in_mesh = frontend.spawn(_echo_when_told, far.ipv4, port)
    assert live_in_mesh.hear() == "open"
    enrol(False)
    try:
        wait_for(lambda: way_of_a_new_connection() == "untouched", f"the {label}'s label opts it out")
        live_outside = frontend.spawn(_echo_when_told, far.ipv4, port)
        assert live_outside.hear() == "open"
    finally:
        enrol(True)
    wait_for(lambda: way_of_a_new_connection() == "mesh", f"the {label}'s label opts it in again")
    for live in (live_in_mesh, live_outside):
        os.kill(live.pid, signal.SIGUSR1)
        assert live.result(10) == "alive"
    task.kill()


def _say_marker(address, port):
    with connect(address, port) as sock:
        sock.sendall(b"seen-by-all")
        return read_exactly(sock, 11) == b"seen-by-all"


def _echo_when_told(say, address, port):
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    with connect(address, port) as sock:
        sock.sendall(b"1")
        read_exactly(sock, 1)
        say("open")
        signal.sigwait([signal.SIGUSR1])
        sock.sendall(b"2")
        return "alive" if read_exactly(sock, 1) == b"2" else "wrong echo"


@asks_leat
def test_a_service_with_every_endpoint_outside_the_mesh_is_untouched(shop, port):
    task = shop.visitor.spawn(echo, port)
    assert task.hear() == "listening"
    shop.lab.objects.service("outside", "default", ["10.96.0.77"], {port: port}, {"app": "visitor"})
    shop.a.serve_virtual_addresses([*shop.services, VirtualService(["10.96.0.77"], port, port, [shop.visitor.ipv4])])
    try:
        assert shop.frontend.call(try_connect, "10.96.0.77", port) == "ok"
        assert all(no_flows(shop.a, path=path, destinationPort=port) for path in ("proxy", "hbone"))
    finally:
        shop.lab.objects.remove("service-default-outside")
        shop.a.serve_virtual_addresses(shop.services)
        task.kill()


@pytest.mark.parametrize("port", [BACKEND_PORT, BACKEND_TCP_PORT], ids=["http", "tcp"])
def test_a_service_address_shows_as_the_peer_that_the_application_asked_for(shop, port):
    assert shop.frontend.call(_peer_of, BACKEND_VIP, port) == (BACKEND_VIP, port)


def _peer_of(address, port):
    with connect(address, port) as sock:
        return sock.getpeername()[:2]
