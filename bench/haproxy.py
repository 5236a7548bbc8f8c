"""The peer: Debian's HAProxy as the leanest hop that it can be, one thread, no log."""
from pathlib import Path

BASE_PORT = 9080
WEIGHTS = (90, 10)   # of two servers
_CONNECTIONS = 9900  # two descriptors each, under a limit of 20,000


def start(node, servers, ports, http=False):
    """In the node's namespace, as a proxy of the node: ports from BASE_PORT on lead to the servers' `ports`; the first as HTTP, if asked.
    Returns the program and its cgroup."""
    configuration = Path(node.folder) / "haproxy.cfg"
    configuration.write_text(_configuration(node.gateway4, servers, ports, http))
    cgroup = node.cgroup.child("haproxy")
    return node.part(cgroup).start(["haproxy", "-db", "-f", configuration]), cgroup


def _configuration(address, servers, ports, http):
    lines = ["global", "  nbthread 1", f"  maxconn {_CONNECTIONS}", "defaults", f"  maxconn {_CONNECTIONS}",
             "  timeout connect 5s", "  timeout client 1h", "  timeout server 1h"]
    for number, port in enumerate(ports):
        lines += [f"listen service{number}", f"  bind {address}:{BASE_PORT + number}",
                  *(["  mode http", "  http-reuse always"] if http and number == 0 else ["  mode tcp"])]
        lines += [f"  server server{each} {server}:{port}" + (f" weight {WEIGHTS[each]}" if len(servers) > 1 else "")
                  for each, server in enumerate(servers)]
    return "\n".join(lines) + "\n"
