"""What connect() of a pod becomes: the table "Outbound, at connect()" of the architecture, a row a test."""
from capture_node import OUTBOUND

VIP, VIP6 = "10.77.0.5", "fd77::5"
ALIASES = [dict(id=5, address=VIP), dict(id=6, address=VIP6), dict(id=7, address="10.77.0.6")]


def test_a_destination_of_the_mesh_is_accepted_at_its_alias_with_its_port(node):
    node.open()
    node.apply([node.a.spec()], ALIASES)
    node.a("c = dial(('10.77.0.5', 443))")
    accepted = node.do("accept", uid="a", role=OUTBOUND)
    assert accepted["local"] == "127.128.0.5:443"
    assert node.a("c.getpeername()") == [VIP, 443]
    assert node.a("c.getsockname()[0]") == node.a.v4
    node.do("write", fd=accepted["fd"], text="hello")
    assert node.a("c.recv(9).decode()") == "hello"
