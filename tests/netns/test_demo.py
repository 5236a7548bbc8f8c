"""The demo as a program: what it leaves up when it is asked to, and that it leaves nothing else."""
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mesh import REPOSITORY, asks_leat
from lab import Lab, wait_for
from lab.cgroup import mount_point

pytestmark = asks_leat


def hear_ctrl_c():
    """A suite that a shell runs in the background is deaf to it, and so would its children be."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(*options):
    return subprocess.Popen([sys.executable, REPOSITORY / "demo" / "demo.py", *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, start_new_session=True, preexec_fn=hear_ctrl_c)


def traces(demo):
    """What a lab of this process has left on the machine: a folder, a cgroup with processes, mounts."""
    name = f"leat-demo-{demo.pid}"
    mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if name in line]
    return [str(path) for place in ("/run", mount_point()) for path in Path(place).glob(f"{name}*")] + mounts


def test_a_kept_demo_serves_until_down_removes_every_trace():
    if Lab.kept("demo"):
        pytest.skip("a demo is up on this machine, which `--down` would remove")
    demo = start("--keep")
    said, _ = demo.communicate(timeout=60)
    try:
        assert demo.returncode == 0 and "--down" in said, said
        leat, socket = re.search(r"^ *(\S+) --agent (\S+) flows -f$", said, re.MULTILINE).groups()
        assert subprocess.run([leat, "--agent", socket, "check"], capture_output=True).returncode == 0
        shell = subprocess.run([sys.executable, REPOSITORY / "demo" / "demo.py", "--shell", "frontend"], capture_output=True, text=True,
                               input="curl -s http://backend:8080/\n", timeout=20)
        assert '"pod"' in shell.stdout, shell
    finally:
        down = subprocess.run([sys.executable, REPOSITORY / "demo" / "demo.py", "--down"], capture_output=True, text=True, timeout=30)
    assert down.returncode == 0 and f"leat-demo-{demo.pid}" in down.stdout
    assert traces(demo) == []


def test_ctrl_c_leaves_nothing():
    demo = start("--keep")
    wait_for(lambda: any(Path("/run").glob(f"leat-demo-{demo.pid}*/node-b/state/api.sock")), "it is half up", 20)
    os.kill(demo.pid, signal.SIGINT)
    demo.communicate(timeout=20)
    assert demo.returncode in (130, -signal.SIGINT)
    assert traces(demo) == []
