"""The peer: Debian's HAProxy as the leanest relay that it can be, one thread, TCP mode, no log."""
from pathlib import Path

BASE_PORT = 9080
_CONNECTIONS = 9900  # two descriptors each, under a limit of 20,000


def start(node, server, server_port, services):
    """In the node's namespace, as a proxy of the node: `services` ports from BASE_PORT on lead to the server's. Returns the program and its
    cgroup."""
    configuration = Path(node.folder) / "haproxy.cfg"
    configuration.write_text(_configuration(node.gateway4, server, server_port, services))
    cgroup = node.cgroup.child("haproxy")
    return node.part(cgroup).start(["haproxy", "-db", "-f", configuration]), cgroup


def _configuration(address, server, server_port, services):
    lines = ["global", "  nbthread 1", f"  maxconn {_CONNECTIONS}", "defaults", "  mode tcp", f"  maxconn {_CONNECTIONS}",
             "  timeout connect 5s", "  timeout client 1h", "  timeout server 1h"]
    for service in range(services):
        lines += [f"listen service{service}", f"  bind {address}:{BASE_PORT + service}",
                  f"  server server {server}:{server_port + service}"]
    return "\n".join(lines) + "\n"
