"""HTTP/2 and gRPC unary calls: nghttp2's own server and load generator, which are quicker than a server of the language that a service is
written in. A call of gRPC is a POST of one message, answered with one message and trailers."""
import re
import shutil
import struct
import subprocess
import tempfile
import time
from pathlib import Path

import processes
from generator import Broken

CALL = "/bench.Echo/Call"
_BODY = 1024
_GRACE_S = 30


def _message(size):
    return struct.pack(">BI", 0, size) + b"x" * size  # of gRPC: not compressed, its length


def serve(pod, port):
    """Programs of this pod that answer GET / with 1 KiB and calls with a message of 1 KiB; none where nghttpd is not there."""
    program = shutil.which("nghttpd")
    if program is None:
        return []
    root = Path(tempfile.mkdtemp(dir=pod.node.folder, prefix="calls-"))
    (root / "index.html").write_bytes(b"x" * _BODY)
    called = root / CALL.strip("/")
    called.parent.mkdir()
    called.write_bytes(_message(_BODY))
    started = pod.start([program, "--no-tls", f"--htdocs={root}", "--trailer=grpc-status: 0",
                         "--max-concurrent-streams=1000", port])
    return [started]


def measure(tools, column, scenario, seconds):
    """One sample of closed-loop calls, with what the column's programs used meanwhile; connecting is in it, and is little."""
    program = shutil.which("h2load")
    if program is None or shutil.which("nghttpd") is None:
        raise Broken("h2load and nghttpd are not there: apt-get install nghttp2-client nghttp2-server")
    options = dict(zip(scenario.options[::2], scenario.options[1::2]))
    with tempfile.TemporaryDirectory() as folder:
        log, data = Path(folder) / "log", Path(folder) / "message"
        data.write_bytes(_message(100))
        command = [program, "-p", "h2c", "-c", str(options["--connections"]), "-m", str(options["--streams"]), "-D", str(max(1, round(seconds))),
                   f"--log-file={log}"]
        url = f"http://{column.address}:{column.base_port + scenario.port}"
        command += ["-d", str(data), "-H", "content-type: application/grpc", "-H", "te: trailers", url + CALL] if scenario.mode == "grpc" else [url + "/"]
        before, started = processes.look(column), time.monotonic()
        done = subprocess.run(command, preexec_fn=column.client.enter, capture_output=True, text=True, timeout=seconds + _GRACE_S)
        after = processes.look(column)
        if done.returncode != 0:
            raise Broken(f"h2load ended with {done.returncode}: {(done.stderr or done.stdout)[-300:]}")
        return {**_read(done.stdout, log.read_text(), time.monotonic() - started), **(after - before)}


def _read(said, log, took):
    succeeded, failed = (int(re.search(rf"requests:.* (\d+) {word}", said)[1]) for word in ("succeeded", "failed"))
    lines = [line.split("\t") for line in log.splitlines()]
    durations = sorted(int(duration) for _, status, duration in lines if status == "200")
    if not durations:
        raise Broken(f"no call was answered: {said[-300:]}")
    at = lambda part: durations[min(len(durations) - 1, int(part * len(durations)))]  # noqa: E731
    return {"done": succeeded, "seconds": took, "bytes": 0, "p50_us": at(.5), "p99_us": at(.99), "cpu_seconds": 0.0,
            "failed": {"calls": failed} if failed else {}}

