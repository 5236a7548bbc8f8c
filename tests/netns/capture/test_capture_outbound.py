"""What connect() of a pod becomes: the table "Outbound, at connect()" of the architecture, a row a test, and what the application sees."""
import errno

import pytest
from capture_node import OUTBOUND

VIP, OTHER_VIP, VIP6 = "10.77.0.5", "10.77.0.7", "fd77::6"
ALIASES = [dict(id=5, address=VIP), dict(id=6, address=VIP6), dict(id=7, address=OTHER_VIP)]
MPTCP = 262


@pytest.fixture
def mesh(node):
    """Pod a is enrolled; the mesh knows three VIPs, and the stranger's address as if it were a destination."""
    node.open()
    node.strangers = [dict(id=9, address=node.stranger.v4), dict(id=10, address=node.stranger.v6)]
    node.apply([node.a.spec()], ALIASES + node.strangers)
    node.stranger("l = serve(('0.0.0.0', 80)); l6 = serve(('::', 81), socket.AF_INET6)")
    return node


def peer_seen_by_stranger(node):
    return node.stranger("c, peer = accepted(l); peer[0]")


def test_a_destination_of_the_mesh_is_accepted_at_its_alias_with_its_port(mesh):
    mesh.a(f"c = dial(('{VIP}', 443))")
    accepted = mesh.do("accept", uid="a", role=OUTBOUND)
    assert accepted["local"] == "127.128.0.5:443"
    assert mesh.a("c.getpeername()") == [VIP, 443]
    assert mesh.a("c.getsockname()[0]") == mesh.a.v4
    mesh.do("write", fd=accepted["fd"], text="hello")
    assert mesh.a("c.recv(9).decode()") == "hello"
    assert mesh.count(mesh.a, "connect_captured") == 1


def test_an_ipv6_destination_is_accepted_at_its_ipv6_alias(mesh):
    mesh.a(f"c = dial(('{VIP6}', 443), socket.AF_INET6)")
    assert mesh.do("accept", uid="a", role=OUTBOUND, ipv6=True)["local"] == "[fd6c:6561:7400:d::6]:443"
    assert mesh.a("c.getpeername()[:2]") == [VIP6, 443]
    assert mesh.a("c.getsockname()[0]") == mesh.a.v6


def test_a_v6only_socket_reaches_an_ipv6_destination(mesh):
    mesh.a(f"c = dial(('{VIP6}', 443), socket.AF_INET6, v6only=1)")
    mesh.do("accept", uid="a", role=OUTBOUND, ipv6=True)
    assert mesh.a("c.getpeername()[0]") == VIP6


def test_a_v4_mapped_destination_is_accepted_at_its_ipv4_alias(mesh):
    mesh.a(f"c = dial(('::ffff:{VIP}', 443), socket.AF_INET6)")
    assert mesh.do("accept", uid="a", role=OUTBOUND)["local"] == "127.128.0.5:443"
    assert mesh.a("c.getpeername()[:2]") == [f"::ffff:{VIP}", 443]
    assert mesh.a("c.getsockname()[0]") == f"::ffff:{mesh.a.v4}"


def test_a_v4_mapped_destination_stays_unreachable_for_a_v6only_socket(mesh):
    assert mesh.a(f"tried(('::ffff:{VIP}', 443), socket.AF_INET6, v6only=1)") == "ENETUNREACH"


def test_two_sockets_with_one_fixed_source_port_reach_two_destinations(mesh):
    mesh.a("x = opened(reuse=True, bind=('0.0.0.0', 7701)); y = opened(reuse=True, bind=('0.0.0.0', 7701))")
    mesh.a(f"x.connect(('{VIP}', 443)); y.connect(('{OTHER_VIP}', 443))")
    locals_seen = {mesh.do("accept", uid="a", role=OUTBOUND)["local"] for _ in range(2)}
    assert locals_seen == {"127.128.0.5:443", "127.128.0.7:443"}
    assert mesh.a("[x.getpeername(), y.getpeername()]") == [[VIP, 443], [OTHER_VIP, 443]]


def test_a_socket_bound_to_the_pods_address_keeps_it(mesh):
    mesh.a(f"c = dial(('{VIP}', 443), bind=('{mesh.a.v4}', 0))")
    assert mesh.do("accept", uid="a", role=OUTBOUND)["peer"].startswith(mesh.a.v4 + ":")
    assert mesh.a("c.getsockname()[0]") == mesh.a.v4


def test_a_nonblocking_connect_is_captured(mesh):
    mesh.a(f"c = socket.socket(); c.setblocking(False); r = c.connect_ex(('{VIP}', 443))")
    assert mesh.a("r") == errno.EINPROGRESS
    assert mesh.do("accept", uid="a", role=OUTBOUND)["local"] == "127.128.0.5:443"


def test_a_fast_open_send_is_captured(mesh):
    mesh.a.sysctl("net.ipv4.tcp_fastopen", 3)
    mesh.a(f"c = opened(timeout=None); c.sendto(b'early', 0x20000000, ('{VIP}', 443))")
    accepted = mesh.do("accept", uid="a", role=OUTBOUND)
    assert accepted["local"] == "127.128.0.5:443"
    assert mesh.do("read", fd=accepted["fd"]) == "early"


def test_an_mptcp_socket_is_captured_and_sees_the_true_peer(mesh):
    mesh.a(f"c = dial(('{VIP}', 443), protocol={MPTCP})")
    assert mesh.do("accept", uid="a", role=OUTBOUND)["local"] == "127.128.0.5:443"
    assert mesh.a("c.getpeername()") == [VIP, 443]


def test_a_socket_that_reconnects_shows_its_new_peer(mesh):
    mesh.a(f"c = dial(('{VIP}', 443))")
    mesh.do("accept", uid="a", role=OUTBOUND)
    mesh.a("import ctypes; libc = ctypes.CDLL(None, use_errno=True); libc.connect(c.fileno(), bytes(16), 16)")
    mesh.a(f"c.connect(('{OTHER_VIP}', 80))")
    assert mesh.do("accept", uid="a", role=OUTBOUND)["local"] == "127.128.0.7:80"
    assert mesh.a("c.getpeername()") == [OTHER_VIP, 80]


def test_a_pod_that_is_not_enrolled_is_untouched(mesh):
    mesh.b(f"c = dial(('{mesh.stranger.v4}', 80))")
    assert peer_seen_by_stranger(mesh) == mesh.b.v4
    assert mesh.b("c.getpeername()") == [mesh.stranger.v4, 80]


def test_a_destination_outside_the_mesh_is_untouched(mesh):
    mesh.apply([mesh.a.spec()], ALIASES)
    mesh.a(f"c = dial(('{mesh.stranger.v4}', 80))")
    assert mesh.stranger("c, peer = accepted(l); list(peer)") == mesh.a("list(c.getsockname())")
    assert mesh.count(mesh.a, "connect_outside_mesh") == 1
    assert mesh.count(mesh.a, "connect_captured") == 0


def test_the_pods_own_address_is_untouched(mesh):
    mesh.apply([mesh.a.spec(strict=True)], ALIASES + [dict(id=11, address=mesh.a.v4)])
    mesh.a(f"l = serve(('0.0.0.0', 8080)); c = dial(('{mesh.a.v4}', 8080)); s, peer = accepted(l)")
    assert mesh.a("peer[0]") == mesh.a.v4


def test_loopback_is_untouched(mesh):
    mesh.a("l = serve(('127.0.0.1', 8080)); c = dial(('127.0.0.1', 8080)); s, peer = accepted(l)")
    assert mesh.a("[peer[0], c.getpeername()[0], c.getsockname()[0]]") == ["127.0.0.1"] * 3


def test_udp_is_untouched(mesh):
    mesh.stranger("u = socket.socket(type=socket.SOCK_DGRAM); u.bind(('0.0.0.0', 53))")
    mesh.a(f"u = socket.socket(type=socket.SOCK_DGRAM); u.connect(('{mesh.stranger.v4}', 53)); u.send(b'?')")
    assert mesh.stranger("u.recvfrom(9)[1][0]") == mesh.a.v4
    assert mesh.a("u.getpeername()") == [mesh.stranger.v4, 53]


def test_a_socket_bound_to_a_device_is_untouched_and_counted(mesh):
    mesh.a(f"c = opened(); c.setsockopt(socket.SOL_SOCKET, 25, b'eth0'); c.connect(('{mesh.stranger.v4}', 80))")
    assert peer_seen_by_stranger(mesh) == mesh.a.v4
    assert mesh.count(mesh.a, "connect_bound_device") == 1


@pytest.mark.parametrize("excluded", [dict(ports=[80]), dict(cidrs=["10.99.0.8/29"]), dict(cidrs=["10.99.0.9"])])
def test_an_excluded_port_or_network_is_untouched(mesh, excluded):
    mesh.apply([mesh.a.spec(outbound=excluded)], ALIASES + mesh.strangers)
    mesh.a(f"c = dial(('{mesh.stranger.v4}', 80))")
    assert peer_seen_by_stranger(mesh) == mesh.a.v4
    assert mesh.count(mesh.a, "connect_excluded") == 1
    mesh.a(f"c = dial(('{VIP}', 443))")
    assert mesh.do("accept", uid="a", role=OUTBOUND)["local"] == "127.128.0.5:443"


def test_an_exclusion_of_one_pod_is_not_its_neighbours(mesh):
    mesh.apply([mesh.a.spec(), mesh.b.spec(outbound=dict(ports=[443], cidrs=["0.0.0.0/0"]))], ALIASES)
    mesh.a(f"c = dial(('{VIP}', 443))")
    mesh.do("accept", uid="a", role=OUTBOUND)


def test_without_a_proxy_a_permissive_pod_goes_untouched(mesh):
    mesh.do("close_slots")
    mesh.a(f"c = dial(('{mesh.stranger.v4}', 80))")
    assert peer_seen_by_stranger(mesh) == mesh.a.v4
    assert mesh.count(mesh.a, "connect_no_proxy_untouched") == 1


def test_without_a_proxy_a_strict_pod_is_refused_and_served_again_when_one_is_back(mesh):
    mesh.apply([mesh.a.spec(strict=True)], ALIASES)
    mesh.do("close_slots")
    assert mesh.a(f"tried(('{VIP}', 443))") == "EPERM"
    assert mesh.a(f"tried(('{VIP6}', 443), socket.AF_INET6)") == "EPERM"
    assert mesh.count(mesh.a, "connect_no_proxy_refused") == 2
    mesh.do("open_slots")
    mesh.a(f"c = dial(('{VIP}', 443))")
    mesh.do("accept", uid="a", role=OUTBOUND)


def test_an_id_that_nobody_knows_any_more_is_never_shown_as_loopback(mesh):
    mesh.a(f"c = dial(('{VIP}', 443)); d = dial(('{VIP6}', 443), socket.AF_INET6)")
    mesh.apply([mesh.a.spec()])
    assert mesh.a("c.getpeername()") == ["192.0.0.8", 443]
    assert mesh.a("d.getpeername()[:2]") == ["100::", 443]


def test_a_released_pod_connects_untouched_and_its_old_connections_keep_their_names(mesh):
    mesh.a(f"c = dial(('{VIP}', 443)); d = dial(('{VIP6}', 443), socket.AF_INET6)")
    old = mesh.do("accept", uid="a", role=OUTBOUND)
    old6 = mesh.do("accept", uid="a", role=OUTBOUND, ipv6=True)
    mesh.apply([], ALIASES + mesh.strangers)
    assert mesh.a("c.getpeername()") == [VIP, 443]
    assert mesh.a("c.getsockname()[0]") == mesh.a.v4
    for socket, fd in (("c", old["fd"]), ("d", old6["fd"])):
        mesh.a(f"{socket}.send(b'still')")
        assert mesh.do("read", fd=fd) == "still"
    mesh.a(f"c = dial(('{mesh.stranger.v4}', 80))")
    assert peer_seen_by_stranger(mesh) == mesh.a.v4


def test_a_pod_enrolled_while_it_runs_is_captured_and_its_old_connections_go_on(mesh):
    mesh.b(f"old = dial(('{mesh.stranger.v4}', 80))")
    mesh.stranger("c, peer = accepted(l)")
    mesh.apply([mesh.a.spec(), mesh.b.spec()], ALIASES + mesh.strangers)
    mesh.b("old.send(b'on')")
    assert mesh.stranger("c.recv(9).decode()") == "on"
    old = dict(local="%s:%d" % tuple(mesh.b("old.getsockname()")), remote=f"{mesh.stranger.v4}:80", inbound=False)
    assert old in mesh.do("untouched", uid="b")
    mesh.b(f"c = dial(('{mesh.stranger.v4}', 80))")
    assert mesh.do("accept", uid="b", role=OUTBOUND)["local"] == "127.128.0.9:80"
    new = "%s:%d" % tuple(mesh.b("c.getsockname()"))
    assert new not in [flow["local"] for flow in mesh.do("untouched", uid="b")]


def test_the_applications_ports_stay_free(mesh):
    mesh.a("held = [opened(bind=('0.0.0.0', port)) for port in (15001, 15006, 15007, 15009)]")
    with pytest.raises(RuntimeError, match="EADDRINUSE|Address already in use"):
        mesh.a("opened(bind=('0.0.0.0', 15008))")


@pytest.mark.parametrize("family, any_address", [("AF_INET", "0.0.0.0"), ("AF_INET6", "::")])
def test_an_application_may_listen_on_a_port_that_it_has_dialled_through_the_proxy(mesh, family, any_address):
    """Without SO_REUSEADDR of its own, with one such connection open and one in TIME_WAIT on the proxy's side."""
    mesh.a(f"c = dial(('{VIP}', 8443)); d = dial(('{VIP}', 8443))")
    mesh.do("accept", uid="a", role=OUTBOUND)
    mesh.do("close", fd=mesh.do("accept", uid="a", role=OUTBOUND)["fd"])
    mesh.a("d.recv(1); d.close()")
    mesh.a(f"l = opened(socket.{family}, bind=('{any_address}', 8443)); l.listen()")
    with pytest.raises(RuntimeError, match="Address already in use"):
        mesh.a(f"opened(socket.{family}, bind=('{any_address}', 8443))")
    mesh.a("l.close()")


def test_a_pod_that_dials_many_ports_takes_no_room_where_its_neighbours_are_remembered(mesh):
    mesh.apply([mesh.a.spec(), mesh.b.spec()], ALIASES)
    before = mesh.do("fills")["proxy_ports"]
    mesh.a(f"c = dial(('{VIP}', 8443))")
    mesh.b(f"held = [dial(('{VIP}', port)) for port in range(30000, 30500)]")
    assert mesh.do("fills")["proxy_ports"] == before
    mesh.a("l = opened(bind=('0.0.0.0', 8443)); l.listen()")


def test_a_port_that_was_never_dialled_is_bound_as_strictly_as_ever(mesh):
    mesh.a("x = opened(bind=('0.0.0.0', 8444)); reuse = x.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)")
    assert mesh.a("reuse") == 0
    with pytest.raises(RuntimeError, match="Address already in use"):
        mesh.a("opened(bind=('0.0.0.0', 8444))")
