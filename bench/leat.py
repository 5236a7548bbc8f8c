"""Leat as it is installed: agent and proxy on each node, a namespace in the mesh, a Service with one endpoint, or two to split between. The
load calls the Service's address, which nothing else answers to: a connection that succeeds was taken by Leat."""
import json
from collections import Counter

from cpus import proxy_side
from haproxy import WEIGHTS
from lab import Manifests

_SERVICE_ADDRESS = "10.96.0.{}"
_PORTS = range(8080, 8085)


def start(lab, nodes, client, *servers, same_node, http=(), h2=(), **settings):
    """Returns the Service's address. Agents run on the proxies' CPU too: what Leat costs beside its proxies must not hide. The ports `http`
    and `h2` are routed as HTTP and HTTP/2, by weight, to a subset for each server. `settings` go into the Mesh object."""
    objects = Manifests(lab.folder / f"objects-{nodes[0].name}")
    address = _SERVICE_ADDRESS.format(nodes[0].number)
    for node in nodes:
        objects.node(node)
    objects.mesh(sameNode=same_node, **settings)
    objects.namespace(client.namespace, enrolled=True)
    objects.pod(client)
    for number, server in enumerate(servers, 1):
        objects.pod(server, labels={"app": "server", "version": f"v{number}"})
    ports = {port: port for port in _PORTS if port not in http}
    objects.service("server", client.namespace, [address], ports, {"app": "server"}, http={port: port for port in http},
                    grpc={port: port for port in h2})
    if http:
        objects.write("split", *_split(client.namespace, servers))
    with proxy_side():
        for node in nodes:
            node.start_leat(workers=1, objects=str(objects.folder))
    return address


def _split(namespace, servers):
    api, metadata = "networking.istio.io/v1", {"name": "server", "namespace": namespace}
    versions = [f"v{number}" for number in range(1, len(servers) + 1)]
    route = [{"destination": {"host": "server", "subset": version}, "weight": weight} for version, weight in zip(versions, WEIGHTS)]
    return ({"apiVersion": api, "kind": "VirtualService", "metadata": metadata, "spec": {"hosts": ["server"], "http": [{"route": route}]}},
            {"apiVersion": api, "kind": "DestinationRule", "metadata": metadata,
             "spec": {"host": "server", "subsets": [{"name": version, "labels": {"version": version}} for version in versions]}})


def requests_by_version(node):
    """What the proxy counted, by the servers' version."""
    counted = Counter()
    for each in json.loads(node.leat("metrics", "-o", "json").stdout):
        if each["name"] == "istio_requests_total":
            counted[each["labels"]["destination_version"]] += each["value"]
    return counted
