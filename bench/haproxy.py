"""The peer: Debian's HAProxy as the leanest hop that it can be, one thread, no log."""
from pathlib import Path

BASE_PORT = 9080
WEIGHTS = (90, 10)   # of two servers
_CONNECTIONS = 9900  # two descriptors each, under a limit of 20,000


def start(node, servers, ports, http=(), h2=()):
    """In the node's namespace, as a proxy of the node. `ports` maps the servers' ports to its own; those that are in `http` carry HTTP/1.1,
    those in `h2` HTTP/2, the others bytes. Returns the program and its cgroup."""
    configuration = Path(node.folder) / "haproxy.cfg"
    configuration.write_text(_configuration(node.gateway4, servers, ports, http, h2))
    cgroup = node.cgroup.child("haproxy")
    return node.part(cgroup).start(["haproxy", "-db", "-f", configuration]), cgroup


def _configuration(address, servers, ports, http, h2):
    lines = ["global", "  nbthread 1", f"  maxconn {_CONNECTIONS}", "defaults", f"  maxconn {_CONNECTIONS}",
             "  timeout connect 5s", "  timeout client 1h", "  timeout server 1h"]
    for port, own in ports.items():
        protocol = " proto h2" if port in h2 else ""
        lines += [f"listen service{port}", f"  bind {address}:{own}{protocol}",
                  *(["  mode http", "  http-reuse always"] if port in http or port in h2 else ["  mode tcp"])]
        lines += [f"  server server{each} {server}:{port}{protocol}" + (f" weight {WEIGHTS[each]}" if len(servers) > 1 else "")
                  for each, server in enumerate(servers)]
    return "\n".join(lines) + "\n"
