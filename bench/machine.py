"""Where and with what a run was made: without it a figure means nothing."""
import datetime
import os
import platform
import re
import subprocess
from pathlib import Path

from cpus import LOAD_CPU, PROXY_CPU


def facts(lab, settings):
    cpu = re.search(r"^model name\s*: (.*)", Path("/proc/cpuinfo").read_text(), re.M)
    memory_gb = int(re.search(r"^MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())[1]) / 2 ** 20
    return {
        "date": datetime.date.today().isoformat(),
        "cpu": cpu[1] if cpu else platform.machine(),
        "cpus": os.cpu_count(),
        "pinned": f"proxies and agents on CPU {PROXY_CPU}, load and servers on CPU {LOAD_CPU}",
        "memory": f"{memory_gb:.0f} GiB",
        "kernel": platform.release(),
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", "unknown"),
        "haproxy": _first_line(["haproxy", "-v"]),
        "leat": _first_line([lab.binaries / "leat", "version", "--client"]),
        "load average at the start": os.getloadavg()[0],
        **settings,
    }


def _first_line(command):
    try:
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"unknown ({error})"
    return done.stdout.splitlines()[0] if done.stdout else "unknown"
