"""The benchmark's generator and backend (bench/), as tools of the tests: load that counts what failed, and why."""
import collections
import json
import os
import signal
import threading
from pathlib import Path

from lab import wait_for
from programs import connect, outcome, read_exactly, read_until

HTTP, ECHO = 0, 1  # offsets from the backend's base port; see bench/backend.cc
BASE_PORT = 9000


def start_backend(pod, base_port=BASE_PORT):
    return pod.start([pod.node.lab.binary("bench_backend"), base_port]).expect("serving")


class Load:
    """`mode` and `options` are bench_load's. Started at once; `report()` waits for its end."""

    def __init__(self, pod, mode, address, port=BASE_PORT, **options):
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        words += ["--server-closes"] if mode == "newconn" else []  # or the client's ports run out while a test is long
        self._process = pod.start([pod.node.lab.binary("bench_load"), mode, address, port, *words])
        self._process.expect("START")

    def report(self, timeout=120):
        self._process.wait(timeout)
        lines = self._process.text().splitlines()
        assert lines[-1].startswith("{"), lines[-5:]
        return json.loads(lines[-1])

    def stop(self):
        self._process.kill()


class Callers:
    """Threads that make request after request, `each` of them on one connection, from the start of this until `stop()`: for tests whose
    length is decided by what they do meanwhile."""

    def __init__(self, pod, address, port=BASE_PORT, threads=4, each=1):
        self._task = pod.spawn(_call_until_told, address, port, threads, each)
        assert self._task.hear() == "calling"

    def stop(self):
        """{"done": how many, "failed": {reason: how many}}"""
        os.kill(self._task.pid, signal.SIGUSR1)
        return self._task.result(30)


def _call_until_told(say, address, port, threads, each):
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    done, stop, failed = [], threading.Event(), collections.Counter()
    workers = [threading.Thread(target=_call, args=(address, port, each, stop, done, failed)) for _ in range(threads)]
    for worker in workers:
        worker.start()
    say("calling")
    signal.sigwait([signal.SIGUSR1])
    stop.set()
    for worker in workers:
        worker.join()
    return {"done": len(done), "failed": dict(failed)}


def _call(address, port, each, stop, done, failed):
    while not stop.is_set():
        stage = "connect"
        try:
            with connect(address, port) as sock:
                for _ in range(each):
                    stage = "request"
                    sock.sendall(b"GET / HTTP/1.1\r\nHost: backend\r\n\r\n")
                    head = read_until(sock, b"\r\n\r\n")
                    length = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
                    read_exactly(sock, length - len(head.split(b"\r\n\r\n", 1)[1]))
                    done.append(1)
        except (OSError, EOFError) as error:
            failed[f"{stage}: {type(error).__name__}"] += 1


class Held:
    """Connections to an echo port that stay open; `alive()` tells whether each still echoes."""

    def __init__(self, pod, addresses, port=BASE_PORT + ECHO):
        self._task = pod.spawn(_hold, addresses, port)
        self._names = self._task.hear(20)

    def alive(self):
        os.kill(self._task.pid, signal.SIGUSR1)
        return self._task.hear(10)

    def end(self):
        self._task.kill()


def _hold(say, addresses, port):
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    socks = [connect(address, port) for address in addresses]

    def echo(sock):
        sock.sendall(b"?")
        read_exactly(sock, 1)
    for sock in socks:
        echo(sock)
    say([sock.getsockname()[:2] for sock in socks])
    while True:
        signal.sigwait([signal.SIGUSR1])
        say([outcome(lambda sock=sock: echo(sock)) for sock in socks])


def settled(measure, what, timeout=20.0):
    """Waits until `measure()` gives the same number three times in a row, a tenth of a second apart, and returns it."""
    seen = []

    def same():
        seen.append(measure())
        return len(seen) >= 3 and len(set(seen[-3:])) == 1
    wait_for(same, f"{what} settles", timeout, interval=0.1)
    return seen[-1]


def rss_kib(pid):
    return next(int(line.split()[1]) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS:"))
