"""What an application sees of addresses and ports: the same as without a mesh, in every socket call that tells one."""
import itertools
import socket

import pytest

from mesh import asks_leat
from lab import wait_for
from programs import connect, echo, family_of, listen, read_exactly, reset, try_connect
from shop import BACKEND_PORT, BACKEND_VIP6

_ports = itertools.count(21000)


@pytest.fixture
def echo_server(server):
    port = next(_ports)
    task = server.spawn(echo, port)
    assert task.hear() == "listening"
    yield server, port, task
    task.kill()


# ---------------------------------------------------------------- names of sockets

@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_accept_getpeername_and_getsockname_show_real_addresses_on_both_sides(shop, echo_server, family):
    server, port, task = echo_server
    mine, theirs = getattr(shop.frontend, family), getattr(server, family)
    client_name, client_peer = shop.frontend.call(_names, theirs, port)
    accepted_from, peer, local = task.hear()
    assert client_name[0] == mine and client_peer == (theirs, port)
    assert _bare(accepted_from[0]) == _bare(peer[0]) == mine
    assert (_bare(local[0]), local[1]) == (theirs, port)


def _names(address, port):
    with connect(address, port) as sock:
        sock.sendall(b"?")
        read_exactly(sock, 1)
        return sock.getsockname()[:2], sock.getpeername()[:2]


def _bare(address):
    return address.removeprefix("::ffff:")


def test_two_sockets_with_one_fixed_source_port_reach_two_servers(shop, near, far):
    """Their 4-tuples differ only in the destination, which must stay true whatever the mesh rewrites."""
    port = next(_ports)
    tasks = [pod.spawn(echo, port) for pod in (near, far)]
    assert [task.hear() for task in tasks] == ["listening"] * 2
    assert shop.frontend.call(_one_port_two_servers, [near.ipv4, far.ipv4], port, 40123) == [near.ipv4, far.ipv4]
    for task in tasks:
        task.kill()


def _one_port_two_servers(addresses, port, source_port):
    socks = [connect(address, port, source_port=source_port) for address in addresses]
    for number, sock in enumerate(socks):
        sock.sendall(b"%d" % number)
    assert [read_exactly(sock, 1) for sock in socks] == [b"0", b"1"]
    return [sock.getpeername()[0] for sock in socks]


# ---------------------------------------------------------------- the four forms of IPv6

def test_ipv6_to_a_pod_address(shop, echo_server):
    server, port, task = echo_server
    assert shop.frontend.call(try_connect, server.ipv6, port) == "ok"
    assert task.hear()[0][0] == shop.frontend.ipv6


def test_ipv6_to_a_service_address(shop):
    answer = shop.ask(12, url=f"http://[{BACKEND_VIP6}]:{BACKEND_PORT}/")
    assert not answer["failed"] and set(answer["clients"]) == {shop.frontend.ipv6}


def test_ipv4_through_an_ipv6_socket(shop, echo_server):
    """The mapped form, which many runtimes use for everything."""
    server, port, task = echo_server
    name, peer = shop.frontend.call(_names, f"::ffff:{server.ipv4}", port)
    assert (name[0], peer) == (f"::ffff:{shop.frontend.ipv4}", (f"::ffff:{server.ipv4}", port))
    assert _bare(task.hear()[0][0]) == shop.frontend.ipv4


@pytest.mark.parametrize("address, form", [("::", "v6only"), ("0.0.0.0", "ipv4 only")])
def test_a_server_bound_to_one_family_gets_that_family_only(shop, server, address, form):
    port = next(_ports)
    task = server.spawn(echo, port, address, address == "::")
    assert task.hear() == "listening"
    results = [shop.frontend.call(try_connect, target, port) for target in (server.ipv6, server.ipv4)]
    task.kill()
    served, other = results if form == "v6only" else reversed(results)
    assert served == "ok" and other in ("refused", "reset")


# ---------------------------------------------------------------- ports

def test_an_application_may_bind_every_port_but_15008(shop):
    """With and without SO_REUSEADDR, on any address and on its own. The pod is new: no connection of its own lingers on a port."""
    with shop.another_pod(shop.a, "binder") as pod:
        assert pod.call(_ports_that_cannot_be_bound, pod.ipv4, timeout=120) <= {15008}


def _ports_that_cannot_be_bound(own_address):
    refused = set()
    for address, reuse in itertools.product(("0.0.0.0", "::", own_address), (0, 1)):
        for port in itertools.chain(range(1, 1024), range(1024, 65536, 7), range(15000, 15020), range(32768, 33000)):
            with socket.socket(family_of(address), socket.SOCK_STREAM) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
                try:
                    sock.bind((address, port))
                    sock.listen(1)
                except OSError:
                    refused.add(port)
    return refused


def test_ports_stay_free_under_many_outbound_flows(shop, far):
    """Each connection of a client costs the server's pod none of its own ports: it may bind every ephemeral one meanwhile. 21,000 flows,
    of which as many are open at once as one pod's share of a proxy with 20,000 descriptors allows."""
    port, at_once, rounds = next(_ports), 7000, 3
    task = far.spawn(_hold, port, at_once, rounds)
    assert task.hear() == "listening"
    client = shop.frontend.spawn(_open_many, far.ipv4, port, at_once, rounds)
    for _ in range(rounds):
        assert client.hear(20) == at_once
    assert task.hear(20) == at_once * rounds
    refused = far.call(_ephemeral_ports_that_cannot_be_bound)
    client.kill()
    task.kill()
    assert not refused, f"{len(refused)} of them, such as {refused[:5]}"


def _hold(say, port, at_once, rounds):
    server = listen(port)
    say("listening")
    held = []
    for _ in range(rounds):
        former, held = held, []
        while len(held) < at_once:
            held.append(server.accept()[0])
            held[-1].sendall(b"!")
        for sock in former:
            sock.close()
    say(at_once * rounds)
    server.accept()


def _open_many(say, address, port, at_once, rounds):
    held = []
    for _ in range(rounds):
        for sock in held:
            reset(sock)
        held = [connect(address, port) for _ in range(at_once)]
        say(sum(read_exactly(sock, 1) == b"!" for sock in held))
    held[0].recv(1)


def _ephemeral_ports_that_cannot_be_bound():
    refused = []
    for port in range(32768, 60999):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
            try:
                sock.bind(("0.0.0.0", port))
            except OSError:
                refused.append(port)
    return refused


def test_port_15008_of_a_pod_is_not_reachable_as_an_application(shop, server):
    assert shop.frontend.call(try_connect, server.ipv4, 15008) != "ok"


def test_a_pod_reaches_itself_by_its_own_address_and_sees_itself(shop, near):
    answer = shop.ask(2, caller=near, url=f"http://{near.ipv4}:{BACKEND_PORT}/")
    assert answer["clients"] == {near.ipv4: 2}


def test_loopback_inside_a_pod_is_left_alone(shop, near):
    answer = shop.ask(2, caller=near, url=f"http://127.0.0.1:{BACKEND_PORT}/")
    assert answer["clients"] == {"127.0.0.1": 2}


# ---------------------------------------------------------------- bad networks

@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_forced_syn_cookies_change_nothing(shop, echo_server, family):
    server, port, task = echo_server
    for pod in (shop.frontend, server):
        pod.sysctl(ipv4__tcp_syncookies=2)
    try:
        for _ in range(20):
            assert shop.frontend.call(try_connect, getattr(server, family), port) == "ok"
            assert _bare(task.hear()[0][0]) == getattr(shop.frontend, family)
    finally:
        for pod in (shop.frontend, server):
            pod.sysctl(ipv4__tcp_syncookies=1)


LOSS = """
table inet lab_loss {
  chain forward { type filter hook forward priority 0
    meta l4proto tcp numgen random mod 20 == 0 drop
  }
  chain output { type filter hook output priority 0
    meta l4proto tcp numgen random mod 20 == 0 drop
  }
}
"""


def test_five_percent_packet_loss_loses_no_request(shop, server):
    nodes = shop.lab.nodes
    for node in nodes:
        node.run(["nft", "-f", "-"], text_input=LOSS)
    try:
        answer = shop.ask(60, url=f"http://{server.ipv4}:{BACKEND_PORT}/", each=20)
    finally:
        for node in nodes:
            node.run(["nft", "delete", "table", "inet", "lab_loss"])
    assert not answer["failed"] and sum(answer["pods"].values()) == 60


# ---------------------------------------------------------------- what is left out

@asks_leat
@pytest.mark.parametrize("annotation", ["leat.dev/exclude-outbound-ports", "leat.dev/exclude-outbound-cidrs"])
def test_excluded_destinations_are_untouched(shop, far, annotation):
    port = next(_ports)
    task = far.spawn(echo, port)
    assert task.hear() == "listening"
    value = str(port) if annotation.endswith("ports") else f"{far.ipv4}/32"
    shop.lab.objects.pod(shop.frontend, {"app": "frontend"}, annotations={annotation: value})
    try:
        def is_untouched():
            with shop.a.wire_to(shop.b) as wire:
                assert shop.frontend.call(try_connect, far.ipv4, port) == "ok"
            return any(segment.destination_port == port for segment in wire.segments())
        wait_for(is_untouched, f"{annotation} is in force")
    finally:
        shop.lab.objects.pod(shop.frontend, {"app": "frontend"})
        task.kill()
