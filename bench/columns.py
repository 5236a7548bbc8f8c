"""What is compared: each column is a client, an address to call, a server, and the proxies between them. All columns are started once
and stay up, so that rounds can go A, B, C, A, B, C."""
import json
from dataclasses import dataclass, field
from pathlib import Path

import calls
import envoy
import haproxy
import leat
import nginx
from cpus import proxy_side
from lab import Process, TimedOut, wait_for

COLLECTOR_PORT = 4318
BASE_PORT = 8080  # the server's; see bench/backend.cc
HTTP, ECHO, SINK, SOURCE, ECHO_ONCE = range(5)
BIG_HTTP, BIG_BYTES = 5, 16 * 1024  # a second server beside the first: ports from here on
CALLS = 10  # HTTP/2 and gRPC; see bench/calls.py


@dataclass
class Column:
    name: str
    what: str
    client: object            # the pod that the load runs in
    address: str
    backends: list            # the servers' programs
    base_port: int = BASE_PORT
    proxies: list = field(default_factory=list)  # cgroups; their CPU and memory are the column's
    agents: list = field(default_factory=list)   # cgroups; told apart: they carry no byte
    captured: bool = False    # each connection meets a proxy inside the client's namespace
    wire: object = None       # called: a capture of the link that must carry TLS only
    counted: object = None    # called: how many HTTP requests went to each of the servers, as its proxy counts them


@dataclass
class Missing:
    name: str
    why: str


class Tools:
    """The benchmark's own programs."""

    def __init__(self, *folders):
        self._folders = folders

    def find(self, name):
        for folder in self._folders:
            if (folder / name).exists():
                return folder / name
        raise FileNotFoundError(f"{name} is in none of {', '.join(map(str, self._folders))}: ./dev build")


def start(lab, tools, wanted):
    """Starts the wanted columns. Yields a Column for each, or a Missing that says why not."""
    for names, group in _GROUPS:
        left = [name for name in names if name in wanted]
        if not left:
            continue
        try:
            for column in group(lab, tools):
                if column.name in left:
                    left.remove(column.name)
                    yield column
        except Exception as error:  # whatever it was: the other columns go on, and the report names it
            yield from (Missing(name, f"{type(error).__name__}: {error}") for name in left)


def _plain(lab, tools):
    """No Leat anywhere: nothing at all between client and server, and one HAProxy on the node."""
    node = lab.add_node("plain")
    client, server, backend = _pods(node, tools)
    yield Column("none", "no mesh, no proxy", client, server.ipv4, [backend])
    with proxy_side():
        program, cgroup = haproxy.start(node, [server.ipv4], _peers_ports(HTTP, ECHO, SINK, SOURCE, ECHO_ONCE))
    _await_answer(tools, client, node.gateway4, haproxy.BASE_PORT, [program])
    yield Column("haproxy-tcp", "one HAProxy on the node, TCP mode, one thread, plaintext", client, node.gateway4, [backend],
                 base_port=haproxy.BASE_PORT, proxies=[cgroup])


def _control(lab, tools):
    """The same as `none`, on a node of its own: what two equal things differ by here."""
    client, server, backend = _pods(lab.add_node("control"), tools)
    yield Column("none-again", "like `none`, on another node: what the method takes for a difference", client, server.ipv4, [backend])


def _same_node(lab, tools):
    node = lab.add_node("same")
    client, server, backend = _pods(node, tools, namespace="bench")
    address = leat.start(lab, [node], client, server, same_node="proxy")
    _await_answer(tools, client, address, BASE_PORT, [node.agent, node.proxy])
    yield Column("leat-same-node", "Leat, both pods on one node, `sameNode: proxy`: one hop, plaintext", client, address, [backend],
                 proxies=[node.proxy_cgroup], agents=[node.agent_cgroup], captured=True)


def _direct(lab, tools):
    """One node with Leat, two pairs of pods: one in the mesh and one that is none of its business."""
    node = lab.add_node("direct")
    client, server, backend = _pods(node, tools, namespace="bench")
    outside_client, outside_server, outside_backend = _pods(node, tools, namespace="outside")
    address = leat.start(lab, [node], client, server, same_node="direct")
    _await_answer(tools, client, address, BASE_PORT, [node.agent, node.proxy])
    yield Column("leat-direct", "Leat, both pods on one node, application to application in the kernel", client, address, [backend],
                 agents=[node.agent_cgroup])
    yield Column("untouched", "Leat on the node, neither pod in the mesh", outside_client, outside_server.ipv4, [outside_backend])
    yield Column("untouched-outbound", "Leat on the node, a pod in the mesh calls one that is not", client, outside_server.ipv4,
                 [outside_backend])


def _pair(lab, tools):
    near, far = lab.add_node("pair-a"), lab.add_node("pair-b")
    client, _, _ = _pods(near, tools, namespace="bench", server=False)
    _, server, backend = _pods(far, tools, namespace="bench", client=False)
    address = leat.start(lab, [near, far], client, server, same_node="proxy")
    _await_answer(tools, client, address, BASE_PORT, [near.agent, near.proxy, far.agent, far.proxy])
    yield Column("leat-pair", "Leat, two nodes, mutual TLS 1.3 between them: two hops, both counted", client, address, [backend],
                 proxies=[near.proxy_cgroup, far.proxy_cgroup], agents=[near.agent_cgroup, far.agent_cgroup], captured=True,
                 wire=lambda: near.wire_to(far))


def _peers_ports(*offsets):
    """The servers' ports, and where a peer listens for them."""
    return {BASE_PORT + offset: haproxy.BASE_PORT + offset for offset in offsets}


def _http(peer, what):
    """A peer that routes HTTP: on a node of its own, between a client and two servers."""
    def start(lab, tools):
        node = lab.add_node(peer.__name__)
        client, servers, backends = _split_pods(node, tools)
        with proxy_side():
            program, cgroup = peer.start(node, [server.ipv4 for server in servers], _peers_ports(HTTP, ECHO, BIG_HTTP, CALLS),
                                         http=(BASE_PORT + HTTP, BASE_PORT + BIG_HTTP), h2=(BASE_PORT + CALLS,))
        _await_answer(tools, client, node.gateway4, peer.BASE_PORT, [program])
        yield Column(f"{peer.__name__}-http", what, client, node.gateway4, backends, base_port=peer.BASE_PORT, proxies=[cgroup])
    return start


def _leat_http(name, what, **settings):
    def start(lab, tools):
        node = lab.add_node(name.removeprefix("leat-"))
        client, servers, backends = _split_pods(node, tools, namespace="bench")
        if "tracing" in settings:
            backends = [*backends, servers[0].start(["/usr/bin/python3", Path(__file__).parent / "collector.py", COLLECTOR_PORT]).expect("serving")]
            settings["tracing"]["otlp"] = f"http://{servers[0].ipv4}:{COLLECTOR_PORT}"
        address = leat.start(lab, [node], client, *servers, same_node="proxy", http=(BASE_PORT + HTTP, BASE_PORT + BIG_HTTP),
                             h2=(BASE_PORT + CALLS,), **settings)
        _await_answer(tools, client, address, BASE_PORT, [node.agent, node.proxy])
        yield Column(name, what, client, address, backends, proxies=[node.proxy_cgroup], agents=[node.agent_cgroup], captured=True,
                     counted=lambda: leat.requests_by_version(node))
    return start


_GROUPS = ((("none", "haproxy-tcp"), _plain), (("none-again",), _control), (("leat-same-node",), _same_node),
           (("leat-direct", "untouched", "untouched-outbound"), _direct), (("leat-pair",), _pair),
           (("haproxy-http",), _http(haproxy, "one HAProxy on the node, HTTP mode, one thread, plaintext, two servers of weights 90 and 10")),
           (("envoy-http",), _http(envoy, "one Envoy on the node, router only, one thread, plaintext, two clusters of weights 90 and 10")),
           (("nginx-http",), _http(nginx, "one nginx on the node, one worker, plaintext, two servers of weights 90 and 10; HTTP/2 to servers as "
                                         "`grpc_pass`")),
           (("leat-http",), _leat_http("leat-http", "Leat, pods on one node, `sameNode: proxy`: one hop, plaintext, HTTP routed 90/10 to two "
                                       "subsets, metrics on")),
           (("leat-traced",), _leat_http("leat-traced", "the same, each request in a trace, 1 % of them sent to a collector",
                                         tracing={"samplingPercentage": 1})))
NAMES = [name for names, _ in _GROUPS for name in names]


def _pods(node, tools, namespace="default", client=True, server=True):
    """(client, server, the server's program); what was not asked for is None."""
    node.sysctl(**_PORTS)
    made = [node.add_pod(f"{role}-{namespace}", namespace) if asked else None for role, asked in (("client", client), ("server", server))]
    for pod in filter(None, made):
        pod.sysctl(**_PORTS)
    backend = made[1].start([tools.find("bench_backend"), BASE_PORT]).expect("serving") if server else None
    return (*made, backend)


def _split_pods(node, tools, namespace="default"):
    """(client, servers, the servers' programs): two servers, to split requests between."""
    client, first, backend = _pods(node, tools, namespace)
    second = node.add_pod(f"other-{namespace}", namespace)
    second.sysctl(**_PORTS)
    backends = [backend, second.start([tools.find("bench_backend"), BASE_PORT]).expect("serving")]
    for server in (first, second):
        backends.append(server.start([tools.find("bench_backend"), BASE_PORT + BIG_HTTP, BIG_BYTES]).expect("serving"))
        backends += calls.serve(server, BASE_PORT + CALLS)
    return client, [first, second], backends


def _await_answer(tools, client, address, base_port, programs):
    """Until a byte comes back; fails early where one of the programs in between has ended."""
    def answered():
        for program in programs:
            if not program.alive:
                raise RuntimeError(f"{program.name} ended with {program.wait()}: {program.text()[-600:].strip()}")
        done = client.run([tools.find("bench_load"), "idle", address, base_port + ECHO, "--connections", 1, "--timeout", 2], check=False,
                          text_input="")
        assert done.returncode == 0, done.stderr.strip()
        return not json.loads(done.stdout.splitlines()[-1])["failed"]
    try:
        wait_for(answered, f"an answer to {client.name} from {address}", timeout=20, interval=0.1)
    except TimedOut as error:
        last_words = "; ".join(f"{program.name}: …{program.text().strip()[-300:]}" for program in programs)
        raise TimedOut(f"{error}. {last_words}") from None


# Tens of thousands of connections from one address, again and again: all ports may be used, but those that something listens on.
_PORTS = {"ipv4__ip_local_port_range": "1024 65535", "ipv4__ip_local_reserved_ports": "4318,8080-8090,9080-9090,15008",
          "ipv4__tcp_tw_reuse": 1}
