"""What the project set out to reach, and how each goal is judged from the results."""
import statistics
from dataclasses import dataclass
from typing import Callable

import stats
from scenarios import BY_NAME, CPU, GBIT, P50, P99, RATE

_PARITY_HALF_WIDTH = 0.03


@dataclass(frozen=True)
class Goal:
    text: str
    limit: str
    judge: Callable  # results -> (what was measured, met), or None where it was not measured


def judge(results):
    """(goal, what was measured, True | False | None) for each."""
    return [(goal, *(goal.judge(results) or (None, None))) for goal in GOALS]


_PEERS = {"envoy-http": "Envoy", "leat-http": "untraced"}


def _ratio(text, column, scenario, metric, limit, at_least=False, peer=None):
    """The median of the paired ratios to the scenario's baseline, or to another peer."""
    def judged(results):
        ratios = _ratios(results, column, scenario, metric, peer)
        if not ratios:
            return None
        middle = statistics.median(ratios)
        return f"{middle:.2f} ({min(ratios):.2f}–{max(ratios):.2f})", middle >= limit if at_least else middle <= limit
    return Goal(text, f"{'≥' if at_least else '≤'} {limit} × {_PEERS.get(peer, 'HAProxy')}", judged)


def _same(text, column, scenario, metric):
    """The 95 % interval of the paired ratios contains 1.00 and is narrow: a wide one would contain anything."""
    def judged(results):
        interval = stats.ratio_interval(_ratios(results, column, scenario, metric))
        if not interval:
            return None
        _, low, high = interval
        return "{:.3f} [{:.3f}, {:.3f}]".format(*interval), low <= 1 <= high and (high - low) / 2 <= _PARITY_HALF_WIDTH
    return Goal(text, f"1.00 × none, ± {_PARITY_HALF_WIDTH}", judged)


def _connect(text, column):
    def judged(results):
        scenario = BY_NAME["parity-connect"]
        differences = stats.paired(results.series(scenario, column, P50), results.series(scenario, "none", P50), lambda a, b: a - b)
        interval = stats.difference_interval(differences)
        return interval and ("{:+.2f} µs [{:+.2f}, {:+.2f}]".format(*interval), abs(interval[0]) <= 1)
    return Goal(text, "within 1 µs of none", judged)


def _memory(text, column, count, limit_kb, http=False):
    def judged(results):
        at = (results.idle_http if http else results.idle).get(column, {}).get("at", {}).get(str(count))
        return at and (f"{at['rss_kb'] / count:.2f} KB", at["rss_kb"] / count <= limit_kb)
    return Goal(text, f"≤ {limit_kb} KB", judged)


def _resting(text, column, limit_mb):
    def judged(results):
        record = results.idle.get(column)
        return record and (f"{record['start']['rss_kb'] / 1024:.1f} MB", record["start"]["rss_kb"] / 1024 <= limit_mb)
    return Goal(text, f"≤ {limit_mb} MB", judged)


def _ratios(results, column, scenario, metric, peer=None):
    scenario = BY_NAME[scenario]
    return stats.paired(results.series(scenario, column, metric), results.series(scenario, peer or scenario.baseline, metric))


GOALS = (
    _ratio("Same-node hop: CPU a request", "leat-same-node", "http-64", CPU, 1.0),
    _ratio("Encrypted pair: CPU a request", "leat-pair", "http-64", CPU, 1.6),
    _ratio("Encrypted pair: CPU a new connection", "leat-pair", "newconn", CPU, 1.6),
    _ratio("Encrypted pair: connect to first byte, p50", "leat-pair", "dial", P50, 1.3),
    _ratio("Encrypted pair: Gbit/s up, one connection", "leat-pair", "bulk-up-1", GBIT, 0.7, at_least=True),
    _ratio("Encrypted pair: Gbit/s down, one connection", "leat-pair", "bulk-down-1", GBIT, 0.7, at_least=True),
    _ratio("Encrypted pair at 3,000 requests/s: CPU a request", "leat-pair", "rate-3000", CPU, 1.3),
    _ratio("Encrypted pair at 3,000 requests/s: p99", "leat-pair", "rate-3000", P99, 1.0),
    _ratio("HTTP hop, split 90/10: CPU a request", "leat-http", "http-hop", CPU, 0.9),
    _ratio("HTTP hop, split 90/10: CPU a request, beside Envoy", "leat-http", "http-hop", CPU, 0.33, peer="envoy-http"),
    _ratio("HTTP hop at 3,000 requests/s: p50", "leat-http", "http-hop-rate-3000", P50, 1.0),
    _ratio("HTTP hop at 3,000 requests/s: p99", "leat-http", "http-hop-rate-3000", P99, 1.0),
    _ratio("HTTP hop at 3,000 requests/s: p50, beside Envoy", "leat-http", "http-hop-rate-3000", P50, 1.0, peer="envoy-http"),
    _ratio("HTTP hop at 3,000 requests/s: p99, beside Envoy", "leat-http", "http-hop-rate-3000", P99, 1.0, peer="envoy-http"),
    _ratio("HTTP hop, traces on, 1 % of them sent: CPU a request", "leat-traced", "http-hop", CPU, 1.05, peer="leat-http"),
    _ratio("gRPC unary, split 90/10: CPU a call, beside Envoy", "leat-http", "grpc-unary", CPU, 0.5, peer="envoy-http"),
    _memory("Idle HTTP connection, at 10,000", "leat-http", 10000, 2.5, http=True),
    _same("Kernel-direct: latency, p50", "leat-direct", "parity-latency", P50),
    _same("Kernel-direct: requests a second", "leat-direct", "parity-requests", RATE),
    _same("Kernel-direct: Gbit/s", "leat-direct", "parity-bulk", GBIT),
    _connect("Untouched, pod not in the mesh: connect()", "untouched"),
    _connect("Untouched, pod in the mesh calls outside: connect()", "untouched-outbound"),
    _same("Untouched, pod not in the mesh: requests a second", "untouched", "parity-requests", RATE),
    _same("Untouched, pod not in the mesh: Gbit/s", "untouched", "parity-bulk", GBIT),
    _same("Untouched, pod in the mesh calls outside: Gbit/s", "untouched-outbound", "parity-bulk", GBIT),
    *(_memory(f"Idle proxied connection, at {count:,}", "leat-same-node", count, 2.5) for count in (4000, 8000)),
    *(_memory(f"Idle encrypted connection, both proxies, at {count:,}", "leat-pair", count, 5) for count in (4000, 8000)),
    _resting("Idle proxy, RSS of supervisor and worker", "leat-same-node", 12),
)
