"""Connections that the kernel joins, application to application: where they go, what both ends see, who is vouched for, what is reported."""
import collections

import pytest
from capture_node import OUTBOUND, PLAINTEXT

VIP, VIP6 = "10.77.0.5", "fd77::6"
SERVICE, SERVICE6, REMOTE_ONLY, POD_B = 5, 6, 7, 8
MPTCP = 262


@pytest.fixture
def mesh(node):
    """Pods a and b, both STRICT; b listens on 8080 behind the Service's port 80."""
    node.open()
    node.aliases = [dict(id=SERVICE, address=VIP), dict(id=SERVICE6, address=VIP6), dict(id=POD_B, address=node.b.v4),
                    dict(id=REMOTE_ONLY, address=VIP, destination=False)]
    node.direct = [dict(alias=SERVICE, port=80, local=[dict(address=node.b.v4, port=8080, pod=node.b.number)]),
                   dict(alias=SERVICE6, port=80, local=[dict(address=node.b.v6, port=8080, pod=node.b.number)])]
    node.b("l = serve(('0.0.0.0', 8080)); l6 = serve(('::', 8080), socket.AF_INET6, v6only=1)")
    apply(node)
    return node


def apply(node, **more):
    node.apply([node.a.spec(strict=True), node.b.spec(strict=True)], node.aliases, node.direct, **more)


def is_captured(node, place, code):
    """The proxy got the connection, at the Service's own alias."""
    place(code)
    return node.do("accept", uid=place.name, role=OUTBOUND)["local"] == "127.128.0.5:80"


def test_a_connect_to_a_service_reaches_a_strict_local_backend_without_the_proxy(mesh):
    mesh.a(f"c = dial(('{VIP}', 80))")
    assert mesh.b("s, peer = accepted(l); list(peer)") == mesh.a("list(c.getsockname())")
    assert mesh.a("[c.getpeername(), c.getsockname()[0]]") == [[VIP, 80], mesh.a.v4]
    assert mesh.b("s.getsockname()") == [mesh.b.v4, 8080]
    assert mesh.count(mesh.a, "connect_direct") == 1
    assert mesh.do("fills")["direct"] == 0


def test_ipv6_and_v4_mapped_sockets_are_joined_too(mesh):
    mesh.a(f"c = dial(('{VIP6}', 80), socket.AF_INET6)")
    assert mesh.b("s, peer = accepted(l6); peer[0]") == mesh.a.v6
    assert mesh.a("c.getpeername()[:2]") == [VIP6, 80]
    mesh.a(f"c = dial(('::ffff:{VIP}', 80), socket.AF_INET6)")
    assert mesh.b("s, peer = accepted(l); peer[0]") == mesh.a.v4
    assert mesh.a("c.getpeername()[:2]") == [f"::ffff:{VIP}", 80]
    assert mesh.do("fills")["direct"] == 0


def test_another_port_of_the_service_goes_to_the_proxy(mesh):
    mesh.a(f"c = dial(('{VIP}', 81))")
    assert mesh.do("accept", uid="a", role=OUTBOUND)["local"] == "127.128.0.5:81"


@pytest.mark.parametrize("same_node", [1, 2])
def test_the_setting_proxy_or_mtls_switches_it_off(mesh, same_node):
    apply(mesh, same_node=same_node)
    assert is_captured(mesh, mesh.a, f"c = dial(('{VIP}', 80))")


def test_a_bound_socket_goes_to_the_proxy(mesh):
    assert is_captured(mesh, mesh.a, f"c = dial(('{VIP}', 80), bind=('0.0.0.0', 7777))")
    assert is_captured(mesh, mesh.a, f"c = dial(('{VIP}', 80), bind=('{mesh.a.v4}', 0))")
    assert mesh.count(mesh.a, "direct_bound") == 2


def test_an_mptcp_socket_goes_to_the_proxy(mesh):
    assert is_captured(mesh, mesh.a, f"c = dial(('{VIP}', 80), protocol={MPTCP})")
    assert mesh.count(mesh.a, "direct_mptcp") == 1


def test_local_and_remote_endpoints_get_their_share(mesh):
    mesh.direct[0].update(remote=3, remote_alias=REMOTE_ONLY)
    apply(mesh)
    mesh.a(f"held = [dial(('{VIP}', 80)) for _ in range(200)]")
    assert mesh.a("{c.getpeername()[0] for c in held} == {'" + VIP + "'}")
    share = collections.Counter()
    share["local"] = mesh.count(mesh.a, "connect_direct")
    share["remote"] = mesh.count(mesh.a, "connect_remote_share")
    assert sum(share.values()) == 200
    assert 20 <= share["local"] <= 85, share  # a quarter; five standard deviations
    assert mesh.do("accept", uid="a", role=OUTBOUND)["local"] == "127.128.0.7:80"


def test_handshakes_with_syn_cookies_are_vouched_for_to_their_end(mesh):
    mesh.b.sysctl("net.ipv4.tcp_syncookies", 2)
    try:
        for _ in range(200):
            mesh.a(f"c = dial(('{VIP}', 80)); c.send(b'x')")
            assert mesh.b("s, peer = accepted(l); s.recv(1).decode()") == "x"
        assert mesh.do("fills")["direct"] == 0
    finally:
        mesh.b.sysctl("net.ipv4.tcp_syncookies", 1)


def test_a_record_of_an_undone_connect_vouches_for_nothing(mesh):
    mesh.a(f"c = dial(('{VIP}', 80))")
    mesh.a("import ctypes; libc = ctypes.CDLL(None, use_errno=True); libc.connect(c.fileno(), bytes(16), 16)")
    mesh.aliases.remove(dict(id=POD_B, address=mesh.b.v4))
    apply(mesh)
    mesh.a(f"c.connect(('{mesh.b.v4}', 8080))")
    assert mesh.do("accept", uid="b", role=PLAINTEXT)["peer"].startswith(mesh.a.v4 + ":")
    assert mesh.a("c.getpeername()") == [mesh.b.v4, 8080]


def test_a_pod_that_takes_another_pods_address_is_not_vouched_for(mesh):
    """A container with NET_ADMIN in pod a puts pod b's neighbour's address on its interface, and makes it its source."""
    mesh.a.ip("addr", "add", "10.99.0.4/32", "dev", "eth0")
    mesh.a.ip("route", "add", f"{mesh.b.v4}/32", "dev", "eth0", "src", "10.99.0.4")
    try:
        assert mesh.a(f"tried(('{VIP}', 80), timeout=1)") == "ok"  # by b's plaintext listener, which will refuse it
        assert mesh.do("accept", uid="b", role=PLAINTEXT)["peer"].startswith("10.99.0.4:")
        assert mesh.count(mesh.a, "vouch_foreign_address") == 1
        assert mesh.b("select.select([l], [], [], 0)[0] == []")
    finally:
        mesh.a.ip("route", "del", f"{mesh.b.v4}/32")
        mesh.a.ip("addr", "del", "10.99.0.4/32", "dev", "eth0")


def test_a_pod_with_too_many_half_open_connects_goes_to_the_proxy_and_its_neighbour_does_not(mesh):
    mesh.direct.append(dict(alias=SERVICE, port=99, local=[dict(address="10.99.0.77", port=1, pod=mesh.b.number)]))  # never answers
    apply(mesh)
    mesh.a("import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))")
    mesh.a(f"held = [socket.socket() for _ in range(1100)]\nfor c in held: c.setblocking(False); c.connect_ex(('{VIP}', 99))")
    assert mesh.do("fills")["direct"] == 1024
    assert mesh.count(mesh.a, "direct_quota") == 76
    mesh.b(f"c = dial(('{VIP}', 80)); s, peer = accepted(l)")  # its own Service, which is itself
    assert mesh.count(mesh.b, "connect_direct") == 1
    mesh.a("for c in held: c.close()")
    assert mesh.do("fills")["direct"] == 0
    mesh.a(f"c = dial(('{VIP}', 80))")
    mesh.b("s, peer = accepted(l)")


def test_a_failed_backend_is_left_to_the_proxy_for_a_while(mesh):
    mesh.b("l.close()")
    assert mesh.a(f"tried(('{VIP}', 80))") == "ECONNREFUSED"
    assert is_captured(mesh, mesh.a, f"c = dial(('{VIP}', 80))")
    assert [mesh.count(mesh.a, "direct_failed"), mesh.count(mesh.a, "direct_ejected")] == [1, 1]
    assert mesh.do("closed")[0]["error"] == 111
    assert mesh.do("edges")[0]["failed"] == 1
    mesh.b(f"l = serve(('0.0.0.0', 8080)); c = dial(('{VIP}', 80)); s, peer = accepted(l)")  # for its neighbour nothing has changed
    assert [mesh.count(mesh.b, "connect_direct"), mesh.count(mesh.b, "direct_ejected")] == [1, 0]


def test_a_pod_asked_for_by_its_own_address_is_joined_at_every_port_and_a_scan_of_them_is_one_edge(mesh):
    mesh.a(f"for port in range(9000, 9020): tried(('{mesh.b.v4}', port))")
    mesh.a(f"c = dial(('{mesh.b.v4}', 8080))")
    mesh.b("s, peer = accepted(l)")
    assert mesh.count(mesh.a, "connect_direct") == 21
    [edge] = mesh.do("edges")
    assert (edge["alias"], edge["port"], edge["opened"], edge["failed"]) == (POD_B, 0, 21, 20)


def test_an_open_connection_is_listed_with_its_bytes(mesh):
    mesh.a(f"c = dial(('{VIP}', 80)); c.send(b'x' * 1000)")
    mesh.b("s, peer = accepted(l); s.recv(1000, socket.MSG_WAITALL); s.send(b'y' * 50)")
    mesh.a("c.recv(50, socket.MSG_WAITALL)")
    [flow] = mesh.do("flows", uid="a")
    assert flow["client"] == "%s:%d" % tuple(mesh.a("c.getsockname()"))
    assert (flow["requested"], flow["backend"]) == (f"{VIP}:80", f"{mesh.b.v4}:8080")
    assert (flow["client_pod"], flow["backend_pod"]) == (mesh.a.number, mesh.b.number)
    assert (flow["sent"], flow["received"], flow["established"]) == (1000, 50, True)
    assert 0 <= flow["age_ms"] < 5000


@pytest.mark.parametrize("first", ["c", "s"])
def test_a_closed_connection_is_reported_and_counted_to_the_byte_whoever_closes_first(mesh, first):
    mesh.a(f"c = dial(('{VIP}', 80), timeout=None); c.sendall(b'x' * 50000)")
    mesh.b("s, peer = accepted(l); s.settimeout(None); s.recv(50000, socket.MSG_WAITALL); s.send(b'y' * 7)")
    mesh.a("c.recv(7, socket.MSG_WAITALL)")
    if first == "c":
        mesh.a("c.close()")
        mesh.b("s.recv(1); s.close()")
    else:
        mesh.b("s.close()")
        mesh.a("c.recv(1); c.close()")
    [flow] = mesh.do("closed")
    assert (flow["sent"], flow["received"], flow["error"]) == (50000, 7, 0)
    [edge] = mesh.do("edges")
    assert edge == dict(client_pod=mesh.a.number, backend_pod=mesh.b.number, alias=SERVICE, port=80, opened=1, closed=1, failed=0,
                        sent=50000, received=7)
    assert mesh.do("flows", uid="a") == []


def test_a_reset_is_reported_as_one(mesh):
    mesh.a(f"c = dial(('{VIP}', 80))")
    mesh.b("s, peer = accepted(l); s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0)); s.close()")
    assert mesh.do("closed")[0]["error"] == 104


def test_a_direct_connection_is_not_listed_as_untouched(mesh):
    mesh.a(f"c = dial(('{VIP}', 80))")
    mine = "%s:%d" % tuple(mesh.a("c.getsockname()"))
    assert mine not in [flow["local"] for flow in mesh.do("untouched", uid="a")]


def test_a_backend_that_leaves_the_plan_gets_no_more_connections(mesh):
    before = mesh.do("fills")["backends"]
    mesh.direct = mesh.direct[1:]
    apply(mesh)
    assert is_captured(mesh, mesh.a, f"c = dial(('{VIP}', 80))")
    assert mesh.do("fills")["backends"] == before - 1


def test_three_thousand_short_connections_leave_nothing_behind(mesh):
    mesh.b("import threading\ndef loop():\n  while True:\n    s, _ = l.accept(); s.close()\nl.settimeout(None); threading.Thread(target=loop, daemon=True).start()")
    mesh.a(f"for _ in range(3000): c = dial(('{VIP}', 80)); c.recv(1); c.close()")
    assert mesh.count(mesh.a, "connect_direct") == 3000
    assert len(mesh.do("closed", count=3000)) == 3000
    assert mesh.do("fills")["direct"] == 0
    assert mesh.do("edges")[0]["closed"] == 3000
