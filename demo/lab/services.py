"""A stand-in for kube-proxy, so that a Service's address works before anything is enrolled: nftables rules in a node's namespace that
send each new connection to a random endpoint. It knows neither readiness nor affinity, and the mesh does not need it."""
import ipaddress
from dataclasses import dataclass, field


@dataclass
class VirtualService:
    """`addresses` are the Service's; a connection to `port` goes to one of `endpoints` (pod addresses) at `target_port`."""
    addresses: list
    port: int
    target_port: int
    endpoints: list = field(default_factory=list)


def ruleset(services):
    """One nft script that replaces what the stand-in had before."""
    return "".join(_table(family, services) for family in ("ip", "ip6"))


def _table(family, services):
    rules = [rule for service in services for address in service.addresses
             if _family(address) == family for rule in _rules(family, address, service)]
    return "\n".join([f"table {family} lab_services", f"delete table {family} lab_services", f"table {family} lab_services {{",
                      "  chain prerouting {", "    type nat hook prerouting priority dstnat; policy accept",
                      *(f"    {rule}" for rule in rules), "  }", "}", ""])


def _rules(family, address, service):
    """The first of n endpoints takes one in n, the next one in n-1 of the rest, the last takes what is left."""
    endpoints = [endpoint for endpoint in service.endpoints if _family(endpoint) == family]
    for index, endpoint in enumerate(endpoints):
        left = len(endpoints) - index
        share = f"numgen random mod {left} == 0 " if left > 1 else ""
        target = f"{endpoint}:{service.target_port}" if family == "ip" else f"[{endpoint}]:{service.target_port}"
        yield f"{family} daddr {address} tcp dport {service.port} {share}dnat to {target}"


def _family(address):
    return "ip" if ipaddress.ip_address(address).version == 4 else "ip6"
