"""What is measured: what the generator does, in which columns, and which figures are read from a sample."""
from dataclasses import dataclass
from typing import Callable

from columns import BIG_HTTP, CALLS, ECHO_ONCE, HTTP, SINK, SOURCE


@dataclass(frozen=True)
class Metric:
    title: str
    of: Callable          # sample -> number
    needs: str = ""       # "proxies" or "agents": only columns that have some


def _us(part, *spent):
    """Microseconds of CPU for each part of the work; `spent` are the sample's fields, in seconds."""
    return lambda sample: sum(sample[field] for field in spent) * 1e6 / max(part(sample), 1e-9)


def _done(sample):
    return sample["done"]


def _megabytes(sample):
    return sample["bytes"] / 1e6


RATE = Metric("a second", lambda sample: sample["done"] / sample["seconds"])
CPU = Metric("CPU µs each, all proxies", _us(_done, "proxies_s"), needs="proxies")
AGENT_CPU = Metric("CPU µs each, agents", _us(_done, "agents_s"), needs="agents")
P50 = Metric("p50 µs", lambda sample: sample["p50_us"])
P99 = Metric("p99 µs", lambda sample: sample["p99_us"])
GBIT = Metric("Gbit/s", lambda sample: sample["bytes"] * 8 / sample["seconds"] / 1e9)
CPU_MB = Metric("CPU µs a MB, all proxies", _us(_megabytes, "proxies_s"), needs="proxies")
APPLICATION_CPU = Metric("CPU µs each, client and server", _us(_done, "cpu_seconds", "backend_s"))
APPLICATION_CPU_MB = Metric("CPU µs a MB, client and server", _us(_megabytes, "cpu_seconds", "backend_s"))


@dataclass(frozen=True)
class Scenario:
    name: str
    title: str
    mode: str
    port: int             # from the column's base port on
    metrics: tuple
    columns: tuple
    options: tuple = ()
    baseline: str = "haproxy-tcp"
    parity: bool = False  # the claim is "the same as the baseline": more and shorter rounds, and an interval


PROXIED = ("none", "haproxy-tcp", "leat-same-node", "leat-pair")
ALL = (*PROXIED, "leat-direct")
ROUTED = ("haproxy-http", "envoy-http", "nginx-http", "leat-http", "leat-traced")
CALLED = ("haproxy-http", "envoy-http", "nginx-http", "leat-http")
UNPROXIED = ("none", "none-again", "leat-direct", "untouched", "untouched-outbound")
_NEW = ("--server-closes",)  # else the client's ports run out into TIME_WAIT, and one run disturbs the next


def _bulk(direction, connections):
    ways = {"up": ("client to server", SINK), "down": ("server to client", SOURCE)}
    title, port = ways[direction]
    return Scenario(f"bulk-{direction}-{connections}", f"Bulk, {title}, {connections} connection{'s'[:connections > 1]}",
                    f"bulk-{direction}", port, (GBIT, CPU_MB), PROXIED, ("--connections", connections))


def _parity(name, title, mode, port, metrics, *options):
    return Scenario(name, title, mode, port, metrics, UNPROXIED, options, "none", parity=True)


def _routed(name, title, mode, metrics, *options, port=HTTP, connections=64, columns=ROUTED):
    return Scenario(name, title, mode, port, metrics, columns, ("--connections", connections, *options), "haproxy-http")


SCENARIOS = (
    Scenario("http-64", "HTTP/1.1 keep-alive, 1 KiB, closed loop, 64 connections", "http", HTTP, (CPU, RATE, P50, P99), ALL,
             ("--connections", 64)),
    Scenario("rate-3000", "HTTP/1.1 keep-alive, 1 KiB, open loop, 3,000 requests/s on 64 connections, latency from the scheduled instant",
             "rate", HTTP, (CPU, P50, P99), ALL, ("--connections", 64, "--rate", 3000)),
    Scenario("newconn", "One request a connection, 16 at once, latency from connect() to the whole answer", "newconn", HTTP,
             (CPU, AGENT_CPU, RATE, P50), ALL, ("--connections", 16, *_NEW)),
    Scenario("dial", "Connect and first byte, one at a time", "dial", ECHO_ONCE, (P50, P99, CPU), ALL, _NEW),
    _routed("http-hop", "HTTP routed 90/10 by one proxy: keep-alive, 1 KiB, closed loop, 64 connections", "http", (CPU, RATE, P50, P99)),
    _routed("http-hop-rate-3000", "HTTP routed 90/10 by one proxy: open loop, 3,000 requests/s on 64 connections, latency from the scheduled "
            "instant", "rate", (CPU, P50, P99), "--rate", 3000),
    _routed("http-hop-1024", "HTTP routed 90/10 by one proxy: keep-alive, 1 KiB, closed loop, 1,024 connections", "http", (CPU, RATE, P50, P99),
            connections=1024, columns=CALLED),
    _routed("http-hop-16k", "HTTP routed 90/10 by one proxy: keep-alive, 16 KiB, closed loop, 64 connections", "http", (CPU, RATE, P50, P99),
            port=BIG_HTTP, columns=CALLED),
    _routed("h2-unary", "HTTP/2 (h2c) routed 90/10 by one proxy: 1 KiB, closed loop, 16 connections of 8 streams", "h2", (CPU, RATE, P50, P99),
            "--streams", 8, port=CALLS, connections=16, columns=CALLED),
    _routed("grpc-unary", "gRPC unary routed 90/10 by one proxy: 100 bytes there, 1 KiB back, closed loop, 16 connections of 8 streams", "grpc",
            (CPU, RATE, P50, P99), "--streams", 8, port=CALLS, connections=16, columns=CALLED),
    _bulk("up", 1), _bulk("down", 1), _bulk("up", 8), _bulk("down", 8),
    _parity("parity-latency", "Parity: one keep-alive connection, closed loop", "http", HTTP, (P50, RATE), "--connections", 1),
    _parity("parity-requests", "Parity: 64 keep-alive connections, closed loop", "http", HTTP, (RATE, APPLICATION_CPU), "--connections", 64),
    _parity("parity-bulk", "Parity: bulk, client to server, one connection", "bulk-up", SINK, (GBIT, APPLICATION_CPU_MB), "--connections", 1),
    _parity("parity-connect", "Parity: the calls socket() and connect()", "connect", ECHO_ONCE, (P50,), *_NEW),
)
NAMES = [scenario.name for scenario in SCENARIOS] + ["idle", "idle-http"]
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
