#!/usr/bin/python3
"""Runs the test suites and counts them; ./dev test calls it. The last line is `N passed, N failed, N skipped`.

    tests/run.py [unit|fuzz|netns|cluster|all] [options for pytest]
"""
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
BUILD = Path(os.environ.get("LEAT_BUILD", REPOSITORY / "build"))
FUZZERS = Path(os.environ.get("LEAT_FUZZ_BUILD", REPOSITORY / "build-fuzz")) / "fuzz"
FUZZ_SECONDS = 5  # a target; a long run is made by hand, with other seeds
FUZZ_SEED = 1     # a change is judged by what it changes, not by luck
UNIT_TIMEOUT_S = 300


@dataclass
class Count:
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other):
        return Count(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)

    def __str__(self):
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def unit(_):
    """Every test that CMake knows; a doctest program counts by its cases, any other as one."""
    listed = json.loads(subprocess.run(["ctest", "--show-only=json-v1"], cwd=BUILD, capture_output=True, check=True).stdout)
    return sum((_unit_program(test["name"], test["command"]) for test in listed["tests"] if "command" in test), Count())


def _unit_program(name, command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=UNIT_TIMEOUT_S, cwd=BUILD)
        output, status = done.stdout + done.stderr, done.returncode
    except subprocess.TimeoutExpired:
        output, status = f"still running after {UNIT_TIMEOUT_S} s", 1
    summary = re.search(r"test cases: +\d+ +\| +(\d+) passed +\| +(\d+) failed +\| +(\d+) skipped", output)
    count = Count(*map(int, summary.groups())) if summary else Count(passed=int(status == 0))
    if status != 0:
        count.failed = max(count.failed, 1)  # a crash leaves no summary
        print(f"{name} ended with {status}\n{output[-6000:]}")
    return count


def fuzz(_):
    """A short run of each fuzzer over its corpus; what it finds goes to a temporary folder, not into the tree."""
    count = Count()
    for fuzzer in sorted(FUZZERS.glob("*")):
        if not os.access(fuzzer, os.X_OK) or fuzzer.is_dir():
            continue
        corpus = REPOSITORY / "tests" / "fuzz" / "corpus" / fuzzer.name
        if not any(corpus.glob("*")):
            print(f"{fuzzer.name} has no corpus at {corpus}")
            count.failed += 1
            continue
        with tempfile.TemporaryDirectory() as found:
            command = [fuzzer, f"-max_total_time={FUZZ_SECONDS}", f"-seed={FUZZ_SEED}", "-timeout=10", "-rss_limit_mb=1024", f"-artifact_prefix={found}/",
                       found, corpus]
            done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        if done.returncode == 0:
            count.passed += 1
        else:
            count.failed += 1
            print(f"{fuzzer.name} ended with {done.returncode}\n{done.stderr[-4000:]}")
    return count


def netns(options):
    """With root and the real kernel."""
    return _pytest("tests/netns", options)


def cluster(options):
    """With root and a real Kubernetes on this machine; the long ones with --all."""
    return _pytest("tests/cluster", options)


def _pytest(folder, options):
    command = ["/usr/bin/python3", "-m", "pytest", "-q", "-rsxX", "--tb=short", "-p", "no:cacheprovider", folder, *options]
    child = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, errors="replace")
    last = ""
    for line in child.stdout:
        print(line, end="", flush=True)
        last = line if line.strip() else last
    status = child.wait()
    words = {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|skipped|error|xfailed|xpassed)", last)}
    count = Count(words.get("passed", 0), words.get("failed", 0) + words.get("error", 0),
                  words.get("skipped", 0) + words.get("xfailed", 0) + words.get("xpassed", 0))  # a known defect counts for nothing
    if status not in (0, 1):  # interrupted, wrong usage, nothing collected
        count.failed = max(count.failed, 1)
    return count


SUITES = {"unit": unit, "fuzz": fuzz, "netns": netns, "cluster": cluster}


def run(name, options):
    print(f"== {name}", flush=True)
    start = time.monotonic()
    count = SUITES[name](options)
    if count == Count():
        print(f"{name}: nothing ran, which is a failure")
        count.failed = 1
    print(f"{name}: {count}, {time.monotonic() - start:.0f} s", flush=True)
    return count


def main():
    chosen, options = (sys.argv[1] if len(sys.argv) > 1 else "all"), sys.argv[2:]
    if chosen != "all" and chosen not in SUITES:
        sys.exit(f"no such suite: {chosen} (unit, fuzz, netns, cluster, all)")
    total = sum((run(name, options) for name in ([chosen] if chosen != "all" else SUITES)), Count())
    print(total)
    sys.exit(1 if total.failed else 0)


if __name__ == "__main__":
    main()
