"""Runs the load generator in a column's client pod, and takes CPU times at its START and STOP lines."""
import contextlib
import json
import subprocess
import threading

import processes

_GRACE_S = 30  # beyond what a run should take


class Broken(RuntimeError):
    """A run from which nothing can be learnt."""


class Generator:
    """A running bench_load; leaving the context ends it. Its stdin stays open until finish(): for so long the idle mode holds its
    connections."""

    def __init__(self, tools, column, mode, port, *options):
        command = [tools.find("bench_load"), mode, column.address, column.base_port + port, *options]
        self._child = subprocess.Popen([str(word) for word in command], preexec_fn=column.client.enter, stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._child.kill()
        self._child.wait()

    def expect(self, line, timeout_s=_GRACE_S):
        """Waits for its next line of output."""
        with self._killed_after(timeout_s):
            said = self._child.stdout.readline().strip()
        if said != line:
            raise Broken(f"bench_load said {said!r} instead of {line!r}")

    def finish(self):
        """Closes its stdin and returns its report, the last line."""
        with self._killed_after(_GRACE_S):
            self._child.stdin.close()
            said = self._child.stdout.read().strip()
        if self._child.wait() != 0:
            raise Broken(f"bench_load ended with {self._child.returncode}: {said[-300:]}")
        return json.loads(said.splitlines()[-1])

    @contextlib.contextmanager
    def _killed_after(self, seconds):
        watchdog = threading.Timer(seconds, self._child.kill)
        watchdog.start()
        try:
            yield
        finally:
            watchdog.cancel()


def measure(tools, column, scenario, seconds, warm_s):
    """One sample: the generator's report and what the column's programs used meanwhile."""
    if scenario.mode in ("h2", "grpc"):
        import calls  # it takes Broken from here
        return calls.measure(tools, column, scenario, seconds)
    options = ["--seconds", seconds, "--warm", warm_s, *scenario.options]
    with Generator(tools, column, scenario.mode, scenario.port, *options) as generator:
        generator.expect("START", warm_s + _GRACE_S)
        before = processes.look(column)
        generator.expect("STOP", seconds + _GRACE_S)
        after = processes.look(column)
        report = generator.finish()
        if not report["done"] and not scenario.mode.startswith("bulk"):
            raise Broken(f"nothing was done in {seconds} s; failed: {report['failed']}")
        return {**report, **(after - before)}
