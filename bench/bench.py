#!/usr/bin/python3
"""Leat beside HAProxy, Envoy and nothing, on this machine, in one interleaved run. ./dev bench calls it. Prints markdown, and keeps it
beside the raw samples.

    bench.py                                        everything, about 25 minutes
    bench.py --quick                                does it run? its figures mean nothing
    bench.py --scenarios http-64,dial --columns none,haproxy-tcp,leat-pair
    bench.py --report build/bench/samples.jsonl     the tables of an earlier run

A figure alone says nothing on a shared machine; a ratio of two samples of the same round does. So all columns are started once, and a
round measures each of them before the next round begins.
"""
import argparse
import json
import os
import resource
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "demo"))

import columns  # noqa: E402  (the path comes first)
import cpus  # noqa: E402
import generator  # noqa: E402
import idle  # noqa: E402
import machine  # noqa: E402
import proof  # noqa: E402
import scenarios  # noqa: E402
import tables  # noqa: E402
from lab import Lab  # noqa: E402
from results import Results  # noqa: E402

DESCRIPTORS = 24000  # an idle connection takes two in a proxy that relays bytes, one where HTTP is understood
PARITY_ROUNDS_AT_LEAST = 25  # so that the interval gets narrow


class Run:
    """One run: its columns, and the file that each finding is written to at once."""

    def __init__(self, options, tools, lab, samples):
        self.options, self.tools, self.lab, self.samples = options, tools, lab, samples
        self.columns = []

    def record(self, kind, **record):
        print(json.dumps({"kind": kind, **record}), file=self.samples, flush=True)

    def start(self):
        for column in columns.start(self.lab, self.tools, self.options.columns):
            try:
                if isinstance(column, columns.Missing):
                    raise RuntimeError(column.why)
                proof.check(self.tools, column)
            except Exception as error:  # a column that is not what it says is not measured
                say(f"MISSING {column.name}: {error}")
                self.record("missing", name=column.name, why=str(error))
                continue
            self.columns.append(column)
            self.record("column", name=column.name, what=column.what, proxies=bool(column.proxies), agents=bool(column.agents))
            say(f"{column.name} is up")

    def measure_idle(self, kind):
        counts, columns_of = (self.options.idle, scenarios.PROXIED) if kind == "idle" else (self.options.idle_http, scenarios.CALLED)
        for column in self.columns:
            if column.name not in columns_of:
                continue
            try:
                self.record(kind, column=column.name, **idle.measure(self.tools, column, counts, http=kind == "idle-http"))
                say(f"{kind} {column.name}")
            except generator.Broken as error:
                self.broken(kind, column, 0, error)

    def measure(self, scenario):
        rounds, seconds = self.options.rounds, self.options.seconds
        if scenario.parity and not self.options.quick:
            rounds, seconds = max(rounds, PARITY_ROUNDS_AT_LEAST), seconds / 2
        compared = [column for column in self.columns if column.name in scenario.columns]
        for number in range(rounds):
            # Each second round goes backwards: who comes after whom must not favour anyone.
            for column in compared if number % 2 == 0 else reversed(compared):
                try:
                    sample = generator.measure(self.tools, column, scenario, seconds, self.options.warm)
                except generator.Broken as error:
                    self.broken(scenario.name, column, number, error)
                    continue
                self.record("sample", scenario=scenario.name, column=column.name, round=number, load=os.getloadavg()[0], **sample)
            say(f"{scenario.name}, round {number + 1} of {rounds}")

    def broken(self, scenario, column, number, error):
        say(f"BROKEN {scenario}, {column.name}, round {number}: {error}")
        self.record("broken", scenario=scenario, column=column.name, round=number, why=str(error))


def say(text):
    print(time.strftime("%H:%M:%S ") + text, file=sys.stderr, flush=True)


def run(options):
    if os.geteuid() != 0:
        sys.exit("the benchmark makes network namespaces: run as root")
    Lab.sweep()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    limit = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    cpus.settle()
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "samples.jsonl"
    tools = columns.Tools(options.leat_bin, REPOSITORY / "build" / "bin")
    with path.open("w", encoding="utf-8") as samples, Lab("bench", options.leat_bin) as lab:
        this = Run(options, tools, lab, samples)
        settings = {"rounds": options.rounds, "seconds a sample": options.seconds, "warm-up, s": options.warm,
                    "kind": "machine", **({"QUICK": True} if options.quick else {})}
        this.record(**machine.facts(lab, settings))
        this.start()
        for kind in ("idle", "idle-http"):
            if kind in options.scenarios:
                this.measure_idle(kind)
        for scenario in scenarios.SCENARIOS:
            if scenario.name in options.scenarios:
                this.measure(scenario)
    return path


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)

    def names(known):
        def split(text):
            unknown = set(text.split(",")) - set(known)
            if unknown:
                raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: not one of {', '.join(known)}")
            return text.split(",")
        return split
    parser.add_argument("--scenarios", type=names(scenarios.NAMES), default=scenarios.NAMES, help=",".join(scenarios.NAMES))
    parser.add_argument("--columns", type=names(columns.NAMES), default=columns.NAMES, help=",".join(columns.NAMES))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.2, help="of a sample, after the warm-up")
    parser.add_argument("--warm", type=float, default=0.4)
    parser.add_argument("--quick", action="store_true", help="3 rounds of 0.3 s")
    parser.add_argument("--leat-bin", type=Path, default=Path(os.environ.get("LEAT_BIN", REPOSITORY / "build" / "bin")))
    parser.add_argument("--out", type=Path, default=REPOSITORY / "build" / "bench")
    parser.add_argument("--report", type=Path, help="samples.jsonl of an earlier run; nothing is measured")
    options = parser.parse_args()
    options.idle, options.idle_http = (4000, 8000), (5000, 10000)
    if options.quick:
        options.rounds, options.seconds, options.warm = 3, 0.3, 0.1
        options.idle, options.idle_http = (400, 800), (500, 1000)
    return options


def main():
    options = parse()
    path = options.report or run(options)
    text = tables.report(Results.read(path))
    print(text)
    if not options.report:
        (path.parent / "results.md").write_text(text, encoding="utf-8")
        say(f"kept in {path.parent}: results.md, samples.jsonl")


if __name__ == "__main__":
    main()
