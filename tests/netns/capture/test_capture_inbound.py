"""Who gets a SYN that reaches a pod: the table "Inbound" of the architecture, a row a test."""
import pytest
from capture_node import DISABLE, HBONE, OUTBOUND, PERMISSIVE, PLAINTEXT, STRICT

CLIENT, CLIENT6 = "10.66.1.2", "fd66::2"  # on another node
ALIASES = [dict(id=5, address="10.77.0.5"), dict(id=20, address=CLIENT, destination=False), dict(id=21, address=CLIENT6, destination=False)]


@pytest.fixture
def mesh(node):
    node.open()
    node.a("l = serve(('0.0.0.0', 8080)); l6 = serve(('::', 8081), socket.AF_INET6)")
    return node


def reaches_application(node, place, port=8080):
    place(f"c = dial(('{node.a.v4}', {port}))")
    return node.a("s, peer = accepted(l); peer[0]") == place.v4


def test_a_permissive_pods_application_is_reached_untouched(mesh):
    mesh.apply([mesh.a.spec()], ALIASES)
    assert reaches_application(mesh, mesh.stranger)
    mesh.stranger(f"c = dial(('{mesh.a.v6}', 8081), socket.AF_INET6)")
    assert mesh.a("s, peer = accepted(l6); peer[0]") == mesh.stranger.v6
    assert mesh.count(mesh.a, "inbound_application") == 2


def test_plaintext_to_a_strict_pod_is_given_to_the_proxy(mesh):
    mesh.apply([mesh.a.spec(strict=True)], ALIASES)
    mesh.stranger(f"c = dial(('{mesh.a.v4}', 8080)); d = dial(('{mesh.a.v6}', 8081), socket.AF_INET6)")
    accepted = mesh.do("accept", uid="a", role=PLAINTEXT)
    assert accepted["local"] == f"{mesh.a.v4}:8080"
    assert accepted["peer"].startswith(mesh.stranger.v4 + ":")
    assert mesh.do("accept", uid="a", role=PLAINTEXT, ipv6=True)["local"] == f"[{mesh.a.v6}]:8081"


def test_an_edit_of_the_mode_holds_for_the_next_connection(mesh):
    mesh.apply([mesh.a.spec()], ALIASES)
    assert reaches_application(mesh, mesh.stranger)
    mesh.apply([mesh.a.spec(strict=True)], ALIASES)
    mesh.stranger(f"c = dial(('{mesh.a.v4}', 8080))")
    mesh.do("accept", uid="a", role=PLAINTEXT)
    mesh.apply([mesh.a.spec()], ALIASES)
    assert reaches_application(mesh, mesh.stranger)


@pytest.mark.parametrize("mode", [PERMISSIVE, DISABLE])
def test_a_strict_pods_port_may_be_an_exception(mesh, mode):
    mesh.apply([mesh.a.spec(strict=True, port_mtls={"8080": mode})], ALIASES)
    assert reaches_application(mesh, mesh.stranger)
    mesh.stranger(f"c = dial(('{mesh.a.v4}', 8081))")
    assert mesh.do("accept", uid="a", role=PLAINTEXT)["local"] == f"{mesh.a.v4}:8081"


def test_one_port_of_a_permissive_pod_may_be_strict(mesh):
    mesh.apply([mesh.a.spec(port_mtls={"8081": STRICT})], ALIASES)
    assert reaches_application(mesh, mesh.stranger)
    mesh.stranger(f"c = dial(('{mesh.a.v4}', 8081))")
    mesh.do("accept", uid="a", role=PLAINTEXT)


@pytest.mark.parametrize("excluded", [dict(ports=[8080]), dict(cidrs=["10.99.0.9"])])
def test_an_inbound_exclusion_reaches_a_strict_pods_application(mesh, excluded):
    mesh.apply([mesh.a.spec(strict=True, inbound=excluded)], ALIASES)
    assert reaches_application(mesh, mesh.stranger)


@pytest.mark.parametrize("strict", [False, True])
def test_the_tunnel_port_is_the_proxys(mesh, strict):
    mesh.apply([mesh.a.spec(strict=strict)], ALIASES)
    mesh.stranger(f"c = dial(('{mesh.a.v4}', 15008)); d = dial(('{mesh.a.v6}', 15008), socket.AF_INET6)")
    assert mesh.do("accept", uid="a", role=HBONE)["local"] == f"{mesh.a.v4}:15008"
    assert mesh.do("accept", uid="a", role=HBONE, ipv6=True)["local"] == f"[{mesh.a.v6}]:15008"


def test_a_strict_pod_reaches_itself_by_loopback_and_by_its_address(mesh):
    mesh.apply([mesh.a.spec(strict=True)], ALIASES)
    for address in ("127.0.0.1", mesh.a.v4):
        mesh.a(f"c = dial(('{address}', 8080)); s, peer = accepted(l)")
        assert mesh.a("peer[0]") == address


def test_without_a_listener_a_strict_pod_refuses_and_a_permissive_one_does_not(mesh):
    mesh.apply([mesh.a.spec(strict=True)], ALIASES)
    mesh.do("close_slots")
    assert mesh.stranger(f"tried(('{mesh.a.v4}', 8080))") == "ECONNREFUSED"
    assert mesh.stranger(f"tried(('{mesh.a.v4}', 15008))") == "ECONNREFUSED"
    assert mesh.count(mesh.a, "drop_no_listener") >= 2
    mesh.apply([mesh.a.spec()], ALIASES)
    assert reaches_application(mesh, mesh.stranger)


def test_an_alias_without_a_listener_is_refused_though_an_application_has_the_port(mesh):
    mesh.apply([mesh.a.spec()], ALIASES)
    mesh.do("close_slots")
    assert mesh.a("tried(('127.128.0.5', 8080))") == "ECONNREFUSED"
    assert mesh.a("tried(('fd6c:6561:7400:d::5', 8081), socket.AF_INET6)") == "ECONNREFUSED"
    assert mesh.count(mesh.a, "drop_alias_no_listener") == 2


def test_a_listeners_own_address_is_refused(mesh):
    mesh.apply([mesh.a.spec()], ALIASES)
    for host in (1, 2, 3):
        assert mesh.a(f"tried(('127.127.0.{host}', 15008))") == "ECONNREFUSED"
        assert mesh.a(f"tried(('fd6c:6561:7400:f::{host}', 15008), socket.AF_INET6)") == "ECONNREFUSED"
    assert mesh.count(mesh.a, "drop_listener_address") == 6


# ---------------------------------------------------------------- a neighbour's packets


def test_aliases_are_not_reached_from_the_wire_over_ipv4_even_with_route_localnet(mesh):
    mesh.apply([mesh.a.spec()], ALIASES)
    mesh.a.sysctl("net.ipv4.conf.eth0.route_localnet", 1)
    mesh.stranger.sysctl("net.ipv4.conf.eth0.route_localnet", 1)
    mesh.stranger.ip("addr", "del", "127.0.0.1/8", "dev", "lo")
    mesh.stranger.ip("route", "add", "127.128.0.0/10", "via", mesh.a.v4, "src", mesh.stranger.v4)
    try:
        assert mesh.stranger("tried(('127.128.0.5', 443), timeout=1)") in ("timeout", "ECONNREFUSED")
        assert not mesh.do("pending", uid="a", role=OUTBOUND)
        assert mesh.count(mesh.a, "drop_spoofed") >= 1
    finally:
        mesh.stranger.ip("route", "del", "127.128.0.0/10")
        mesh.stranger.ip("addr", "add", "127.0.0.1/8", "dev", "lo")
        mesh.a.sysctl("net.ipv4.conf.eth0.route_localnet", 0)


def test_aliases_and_listeners_are_not_reached_from_the_wire_over_ipv6(mesh):
    mesh.apply([mesh.a.spec()], ALIASES)
    mesh.stranger.ip("-6", "route", "add", "fd6c:6561:7400::/48", "via", mesh.a.v6)
    try:
        assert mesh.stranger("tried(('fd6c:6561:7400:d::5', 443), socket.AF_INET6, timeout=1)") in ("timeout", "ECONNREFUSED")
        assert mesh.stranger("tried(('fd6c:6561:7400:f::1', 15008), socket.AF_INET6, timeout=1)") in ("timeout", "ECONNREFUSED")
        assert not mesh.do("pending", uid="a", role=OUTBOUND, ipv6=True)
        assert mesh.count(mesh.a, "drop_spoofed") >= 2
    finally:
        mesh.stranger.ip("-6", "route", "del", "fd6c:6561:7400::/48")


@pytest.mark.parametrize("source", ["fd6c:6561:7400:5::15", "{a}"])
def test_a_neighbour_can_not_come_from_a_source_alias_or_from_the_pods_own_address(mesh, source):
    mesh.apply([mesh.a.spec()], ALIASES)
    forged, server = source.format(a=mesh.a.v6), "fd00:98::2"
    mesh.a.ip("addr", "add", f"{server}/128", "dev", "eth0", "nodad")  # so that the forger's route to the pod is not its own address
    mesh.stranger.ip("-6", "route", "add", f"{server}/128", "dev", "eth0")
    mesh.stranger.ip("addr", "add", f"{forged}/128", "dev", "eth0", "nodad")
    try:
        assert mesh.stranger(f"tried(('{server}', 8081), socket.AF_INET6, bind=('{forged}', 0), timeout=1)") in ("timeout", "ECONNREFUSED")
        assert mesh.a("select.select([l6], [], [], 0)[0] == []")
    finally:
        mesh.stranger.ip("addr", "del", f"{forged}/128", "dev", "eth0")
        mesh.stranger.ip("-6", "route", "del", f"{server}/128")
        mesh.a.ip("addr", "del", f"{server}/128", "dev", "eth0")


# ---------------------------------------------------------------- the proxy's own connections


def test_a_remote_client_dialled_in_from_a_source_alias_is_shown_with_its_real_address(mesh):
    mesh.apply([mesh.a.spec(strict=True)], ALIASES)
    assert mesh.do("dial", uid="a", source="127.192.0.20", to=f"{mesh.a.v4}:8080")["errno"] == 0
    assert mesh.a("s, peer = accepted(l); peer[0]") == CLIENT
    assert mesh.a("[s.getpeername()[0], s.getsockname()]") == [CLIENT, [mesh.a.v4, 8080]]


def test_a_remote_client_is_shown_to_a_dual_stack_listener_too(mesh):
    mesh.apply([mesh.a.spec(strict=True)], ALIASES)
    assert mesh.do("dial", uid="a", source="127.192.0.20", to=f"{mesh.a.v4}:8081")["errno"] == 0
    assert mesh.a("s, peer = accepted(l6); peer[0]") == f"::ffff:{CLIENT}"
    assert mesh.do("dial", uid="a", source="fd6c:6561:7400:5::15", to=f"[{mesh.a.v6}]:8081")["errno"] == 0
    assert mesh.a("s, peer = accepted(l6); peer[0]") == CLIENT6
    assert mesh.a("s.getsockname()[:2]") == [mesh.a.v6, 8081]


def test_an_mptcp_listener_is_shown_the_real_client(mesh):
    mesh.apply([mesh.a.spec()], ALIASES)
    mesh.a("m = serve(('0.0.0.0', 8082), protocol=262)")
    assert mesh.do("dial", uid="a", source="127.192.0.20", to=f"{mesh.a.v4}:8082")["errno"] == 0
    assert mesh.a("s, peer = accepted(m); [peer[0], s.getpeername()[0]]") == [CLIENT, CLIENT]


def test_the_proxy_dialling_for_a_local_client_is_vouched_for(mesh):
    mesh.apply([mesh.a.spec(strict=True), mesh.b.spec(strict=True)], ALIASES)
    assert mesh.do("dial", uid="b", to=f"{mesh.a.v4}:8080")["errno"] == 0
    assert mesh.a("s, peer = accepted(l); peer[0]") == mesh.b.v4
    assert mesh.do("dial", uid="b", to=f"[{mesh.a.v6}]:8081")["errno"] == 0
    assert mesh.a("s, peer = accepted(l6); peer[0]") == mesh.b.v6
    assert mesh.count(mesh.a, "inbound_vouched") == 2
    assert mesh.do("fills")["direct"] == 0


def test_a_pods_own_socket_to_a_strict_pod_is_not_vouched_for(mesh):
    mesh.apply([mesh.a.spec(strict=True), mesh.b.spec(strict=True)], ALIASES)
    mesh.b(f"c = dial(('{mesh.a.v4}', 8080))")
    mesh.do("accept", uid="a", role=PLAINTEXT)


# ---------------------------------------------------------------- the kubelet


def test_the_kubelet_reaches_declared_probe_ports_of_a_strict_pod_and_no_other(mesh):
    mesh.apply([mesh.a.spec(strict=True, probe_ports=[8080])], ALIASES)
    assert reaches_application(mesh, mesh.host)
    mesh.host(f"c = dial(('{mesh.a.v4}', 8081))")
    mesh.do("accept", uid="a", role=PLAINTEXT)


def test_a_stranger_does_not_reach_a_probe_port(mesh):
    mesh.apply([mesh.a.spec(strict=True, probe_ports=[8080])], ALIASES)
    mesh.stranger(f"c = dial(('{mesh.a.v4}', 8080))")
    mesh.do("accept", uid="a", role=PLAINTEXT)
