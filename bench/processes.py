"""What the kernel says about running programs: CPU time, memory, and how busy each CPU was."""
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from lab import network_namespace

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Look:
    """One moment; what passed between two of them is `later - earlier`."""
    time_s: float
    proxies_s: float
    agents_s: float
    backend_s: float
    busy_s: dict   # by CPU
    steal_s: dict

    def __sub__(self, earlier):
        wall = self.time_s - earlier.time_s
        return {
            "wall_s": wall,
            "proxies_s": self.proxies_s - earlier.proxies_s, "agents_s": self.agents_s - earlier.agents_s,
            "backend_s": self.backend_s - earlier.backend_s,
            "busy": {cpu: (self.busy_s[cpu] - earlier.busy_s[cpu]) / wall for cpu in self.busy_s},
            "steal": {cpu: (self.steal_s[cpu] - earlier.steal_s[cpu]) / wall for cpu in self.steal_s},
        }


def look(column):
    busy, steal = _cpus()
    return Look(time.monotonic(), _run_seconds(_pids(column.proxies)), _run_seconds(_pids(column.agents)),
                _run_seconds([backend.pid for backend in column.backends]), busy, steal)


def memory_kb(cgroups):
    """(RSS, PSS) of every process in them: RSS counts shared pages once a process, PSS once in all."""
    rss = pss = 0
    for pid in _pids(cgroups):
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        rss += int(re.search(r"^Rss:\s+(\d+)", text, re.M)[1])
        pss += int(re.search(r"^Pss:\s+(\d+)", text, re.M)[1])
    return rss, pss


def kernel_kb():
    """Slab and TCP buffers of the whole machine. What a proxy's sockets cost is the growth over that of a run without it."""
    slab = int(re.search(r"^Slab:\s+(\d+)", Path("/proc/meminfo").read_text(), re.M)[1])
    pages = int(re.search(r"^TCP:.* mem (\d+)", Path("/proc/net/sockstat").read_text(), re.M)[1])
    return slab + pages * _PAGE_BYTES // 1024


def tcp_sockets(place):
    """How many TCP sockets are in use in a network namespace, whoever owns them."""
    with network_namespace(place.holder):
        text = Path("/proc/thread-self/net/sockstat").read_text() + Path("/proc/thread-self/net/sockstat6").read_text()
    return sum(int(number) for number in re.findall(r"^TCP6?: inuse (\d+)", text, re.M))


def _pids(cgroups):
    return [pid for cgroup in cgroups for pid in cgroup.pids()]


def _run_seconds(pids):
    """Time on a CPU of all tasks, kernel workers of io_uring included: the first number of schedstat, in nanoseconds."""
    total = 0
    for pid in pids:
        for schedstat in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            try:
                total += int(schedstat.read_text().split()[0])
            except (FileNotFoundError, ProcessLookupError):
                pass  # a task that has just ended
    return total / 1e9


def _cpus():
    busy, steal = {}, {}
    for name, values in re.findall(r"^(cpu\d+) (.*)", Path("/proc/stat").read_text(), re.M):
        user, nice, system, _, _, irq, softirq, stolen, *_ = (int(value) / _TICKS_PER_SECOND for value in values.split())
        busy[name], steal[name] = user + nice + system + irq + softirq, stolen
    return busy, steal
