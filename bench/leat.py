"""Leat as it is installed: agent and proxy on each node, a namespace in the mesh, a Service with one endpoint. The load calls the
Service's address, which nothing else answers to: a connection that succeeds was taken by Leat."""
from cpus import proxy_side
from lab import Manifests

_SERVICE_ADDRESS = "10.96.0.{}"
_PORTS = range(8080, 8085)


def start(lab, nodes, client, server, same_node):
    """Returns the Service's address. Agents run on the proxies' CPU too: what Leat costs beside its proxies must not hide."""
    objects = Manifests(lab.folder / f"objects-{nodes[0].name}")
    address = _SERVICE_ADDRESS.format(nodes[0].number)
    for node in nodes:
        objects.node(node)
    objects.mesh(sameNode=same_node)
    objects.namespace(client.namespace, enrolled=True)
    objects.pod(client)
    objects.pod(server, labels={"app": "server"})
    objects.service("server", server.namespace, [address], {port: port for port in _PORTS}, {"app": "server"})
    with proxy_side():
        for node in nodes:
            node.start_leat(workers=1, objects=str(objects.folder))
    return address

