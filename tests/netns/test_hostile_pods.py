"""An enrolled pod whose program is root with NET_ADMIN and NET_RAW, and ill-disposed. It may hurt itself. It must reach nothing under
another pod's identity, never pass STRICT unauthenticated, and leave its neighbours unharmed."""
import itertools
import json
import socket
import struct
import time

import pytest

from mesh import asks_leat, strict
from frames import send, syn
from lab import wait_for
from programs import echo, outcome, read_exactly, try_connect, try_http
from shop import BACKEND_PORT, NAMESPACE

pytestmark = asks_leat
_ports = itertools.count(23000)
LISTENER_PORT = 15008
DIRECT_QUOTA_TRIES = 3000


@pytest.fixture(scope="module")
def hostile_shop(shop):
    """The shop under STRICT with one more pod beside the frontend."""
    with strict(shop), shop.another_pod(shop.a, "mallory", labels={"app": "mallory"}) as mallory:
        shop.mallory = mallory
        wait_for(lambda: shop.visitor.call(try_http, shop.backends["backend-v1-1"].ipv4, BACKEND_PORT) != "ok", "strict is in force")
        yield shop


@pytest.fixture
def mallory(hostile_shop):
    return hostile_shop.mallory


@pytest.fixture(autouse=True)
def neighbours_are_unharmed(hostile_shop):
    yield
    assert not hostile_shop.ask(20)["failed"]


@pytest.fixture
def echo_server(server):
    port = next(_ports)
    task = server.spawn(echo, port)
    assert task.hear() == "listening"
    yield server, port, task
    task.kill()


def mac(pod):
    return json.loads(pod.run(["ip", "-j", "link", "show", "eth0"]).stdout)[0]["address"]


def counter(node, *words):
    """The sum of the counters whose name and labels hold all of these words."""
    counters = json.loads(node.leat("metrics", "-o", "json").stdout)
    return sum(each["value"] for each in counters
               if all(word in each["name"] + " ".join(each.get("labels", {}).values()) for word in words))


def identities_towards(shop, port):
    """The source pods under which anything was served on that destination port, as either node saw it."""
    return {flow["sourcePod"] for node in shop.lab.nodes for flow in node.flows()
            if flow.get("destinationPort") == port and flow["verdict"] in ("open", "ok")}


def test_with_another_pods_address_it_is_still_itself(hostile_shop, mallory, echo_server):
    server, port, task = echo_server
    victim = hostile_shop.frontend.ipv4
    assert mallory.call(_connect_from, mallory.ipv4, server.ipv4, port) == "ok"  # served with its own address, and known
    wait_for(lambda: identities_towards(hostile_shop, port) == {"mallory"}, "the connection is seen as mallory's")
    mallory.ip(f"addr add {victim}/32 dev eth0")
    try:
        mallory.call(_connect_from, victim, server.ipv4, port)
    finally:
        mallory.ip(f"addr del {victim}/32 dev eth0")
        hostile_shop.a.run(["ip", "neigh", "flush", "dev", "pods"])
    assert identities_towards(hostile_shop, port) == {"mallory"}


def _connect_from(source, address, port):
    with socket.socket() as sock:
        sock.settimeout(3)
        sock.bind((source, 0))

        def attempt():
            sock.connect((address, port))
            sock.sendall(b"?")
            read_exactly(sock, 1)
        return outcome(attempt)


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_aliases_do_not_answer_from_the_wire(hostile_shop, mallory, near, family):
    """Frames straight to the neighbour's link address, for every low id of both blocks and for the listeners' own addresses."""
    if family == "ipv4":
        near.sysctl(ipv4__conf__all__route_localnet=1)  # the worst case: some nodes set this for their node ports
        targets = [f"127.{block}.0.{number}" for block in (128, 192) for number in range(1, 40)] + [f"127.127.0.{n}" for n in (1, 2, 3)]
    else:
        targets = [f"fd6c:6561:7400:{block}::{number:x}" for block in "d5" for number in range(1, 40)]
        targets += [f"fd6c:6561:7400:f::{number}" for number in (1, 2, 3)]
    frames = [syn(mac(mallory), mac(near), getattr(mallory, family), target, 41000 + number, port)
              for number, target in enumerate(targets) for port in (BACKEND_PORT, LISTENER_PORT)]
    dropped = counter(hostile_shop.a, "spoofed")
    assert mallory.call(send, frames) == set()
    if family == "ipv6":  # the IPv4 stack itself throws most of these away before any program sees them
        assert counter(hostile_shop.a, "spoofed") > dropped


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_no_handshake_is_finished_with_a_stolen_source_address(hostile_shop, mallory, near, family):
    """The pod's own address, or an alias, on the wire: whoever sends it never sees an answer."""
    sources = [getattr(near, family), "127.192.0.1" if family == "ipv4" else "fd6c:6561:7400:5::1"]
    frames = [syn(mac(mallory), mac(near), source, getattr(near, family), 42000, BACKEND_PORT) for source in sources]
    assert mallory.call(send, frames) == set()


def test_killing_its_listener_closes_only_itself_and_it_comes_back(hostile_shop, mallory, far):
    """By the request that `ss -K` sends. The listener is found by an alias; by its own address the inbound program hides it."""
    port = next(_ports)
    task = far.spawn(echo, port)
    assert task.hear() == "listening"
    assert mallory.call(_kill_the_listener_that_answers_for, far.ipv4, port) == 0
    assert hostile_shop.frontend.call(try_connect, far.ipv4, port) == "ok"
    wait_for(lambda: mallory.call(try_connect, far.ipv4, port) == "ok", "its listener is repaired", interval=0.1)
    task.kill()


def _kill_the_listener_that_answers_for(address, port):
    """0, or the errno that the kernel answers."""
    with socket.create_connection((address, port)) as captured:
        alias = _remote_address_in_proc(captured.getsockname()[1], port)
    ends = struct.pack("!HH", port, 1) + alias.ljust(16, b"\0") + socket.inet_aton("127.0.0.1").ljust(16, b"\0")
    loopback, any_cookie, established_or_not, destroy = 1, 0xFFFFFFFF, 0, 21
    body = struct.pack("=BBBBI", socket.AF_INET, socket.IPPROTO_TCP, established_or_not, 0, 0xFFF) + ends
    body += struct.pack("=III", loopback, any_cookie, any_cookie)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4) as diagnostics:
        diagnostics.send(struct.pack("=IHHII", 16 + len(body), destroy, 5, 1, 0) + body)  # NLM_F_REQUEST | NLM_F_ACK
        return -struct.unpack_from("=i", diagnostics.recv(4096), 16)[0]


def _remote_address_in_proc(local_port, remote_port):
    """What the kernel itself has as the peer: getpeername() would show what the application asked for."""
    with open("/proc/self/net/tcp") as table:
        for line in table.readlines()[1:]:
            local, remote = line.split()[1:3]
            if local.endswith(f":{local_port:04X}") and remote.endswith(f":{remote_port:04X}"):
                return struct.pack("=I", int(remote.split(":")[0], 16))
    raise LookupError(f"no socket from port {local_port} to {remote_port}")


def test_thousands_of_half_open_connects_leave_neighbours_their_direct_path(hostile_shop, mallory, near):
    """Through a Service with one endpoint on this node, so that the kernel joins and vouches for each."""
    port, address = next(_ports), "10.96.0.88"
    task = near.spawn(echo, port)
    assert task.hear() == "listening"
    hostile_shop.lab.objects.service("near", NAMESPACE, [address], {port: port}, {"name": near.name})
    wait_for(lambda: hostile_shop.frontend.call(try_connect, address, port, 2) == "ok", "the Service is known")
    mallory.run(["nft", "-f", "-"], text_input="table inet deaf {\n chain input { type filter hook input priority 0\n"
                "  tcp flags & (syn|ack) == syn|ack iifname eth0 drop\n }\n}\n")
    before = counter(hostile_shop.a, "quota")
    attacker = mallory.spawn(_connect_without_end, address, port, DIRECT_QUOTA_TRIES)
    try:
        attacker.hear(30)
        assert counter(hostile_shop.a, "quota") > before, "what went beyond its share is counted"
        start = time.time() * 1000
        assert hostile_shop.frontend.call(try_connect, address, port) == "ok"
        wait_for(lambda: [flow for flow in hostile_shop.a.flows() if flow["path"] == "direct" and flow["destinationPort"] == port
                          and flow["sourcePod"] == "frontend" and flow["openedMs"] > start - 100], "the neighbour's connection was direct")
    finally:
        attacker.kill()
        mallory.run(["nft", "delete", "table", "inet", "deaf"])
        hostile_shop.lab.objects.remove(f"service-{NAMESPACE}-near")
        task.kill()


def _connect_without_end(say, address, port, count):
    socks = [socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) for _ in range(count)]
    for sock in socks:
        sock.connect_ex((address, port))
    say(count)
    socket.socketpair()[0].recv(1)


@pytest.mark.parametrize("address", ["127.127.0.1", "127.127.0.2", "127.127.0.3", "0.0.0.0", "::"])
def test_it_cannot_bind_the_listeners_port_where_a_listener_stands(mallory, address):
    assert mallory.call(_bind, address, LISTENER_PORT) != "ok"


def test_binding_an_aliass_address_takes_no_connection_away(hostile_shop, mallory, echo_server):
    """Its own socket on the very address and port that its connect() is rewritten to: the mesh still gets the connection."""
    server, port, task = echo_server
    thieves = [mallory.spawn(_steal, f"127.128.0.{number}", port) for number in range(1, 16)]
    for thief in thieves:
        thief.hear()
    assert mallory.call(try_connect, server.ipv4, port) == "ok"
    assert task.hear()[0][0].removeprefix("::ffff:") == mallory.ipv4
    for thief in thieves:
        thief.kill()


def _bind(address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        return outcome(lambda: (sock.bind((address, port)), sock.listen(1)))


def _steal(say, address, port):
    with socket.socket() as sock:
        sock.bind((address, port))
        sock.listen(8)
        say("waiting")
        while True:
            sock.accept()[0].sendall(b"stolen")


def _bound_to_device(address, port):
    sock = socket.socket()
    sock.settimeout(3)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
    sock.connect((address, port))
    sock.sendall(b"?")
    return sock


def _fast_open(address, port):
    sock = socket.socket()
    sock.settimeout(3)
    sock.sendto(b"?", socket.MSG_FASTOPEN, (address, port))
    return sock


def _multipath(address, port):
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, getattr(socket, "IPPROTO_MPTCP", 262))
    sock.settimeout(3)
    sock.connect((address, port))
    sock.sendall(b"?")
    return sock


def _bound_to_address(address, port):
    sock = socket.socket()
    sock.settimeout(3)
    sock.bind(("0.0.0.0", 0))
    sock.connect((address, port))
    sock.sendall(b"?")
    return sock


@pytest.mark.parametrize("opener, may_pass", [(_bound_to_device, False), (_fast_open, True), (_multipath, True), (_bound_to_address, True)])
def test_an_unusual_socket_is_in_the_mesh_or_refused(hostile_shop, mallory, echo_server, opener, may_pass):
    """Bound to a device a socket can't be captured: it is plaintext then, and STRICT refuses it. The others are the pod's, proved."""
    server, port, task = echo_server

    def attempt():
        with opener(server.ipv4, port) as sock:
            if sock.recv(1) != b"?":
                raise ConnectionResetError
    result = mallory.call(outcome, attempt)
    if not may_pass:
        assert result in ("reset", "refused", "timeout")
    elif result == "ok":
        assert task.hear()[0][0].removeprefix("::ffff:") == mallory.ipv4
        wait_for(lambda: identities_towards(hostile_shop, port) == {"mallory"}, "it was served as itself")
