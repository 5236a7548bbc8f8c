"""What an idle connection costs: each has made one exchange, then nothing moves. Comes first in a run, while the proxies are fresh."""
import contextlib
import time

import processes
from columns import ECHO, HTTP
from generator import Generator

_SETTLE_S = 1.0  # until buffers lent for the exchanges are back, and freed slabs with them
_AFTER_CLOSE_S = 3.0


def measure(tools, column, counts, http=False):
    """Holds more and more connections. Returns, by count, what is in use beyond the start, and what remains after they closed."""
    started = _memory(column)
    at = {}
    with contextlib.ExitStack() as held:
        opened = 0
        generators = []
        for count in counts:
            generator = held.enter_context(Generator(tools, column, "idle", HTTP if http else ECHO, "--connections", count - opened,
                                                     *(["--http"] if http else [])))
            generator.expect("START", 120)
            generators.append(generator)
            opened = count
            time.sleep(_SETTLE_S)
            at[str(count)] = _growth(started, _memory(column))
        failed = [report["failed"] for report in (generator.finish() for generator in generators) if report["failed"]]
    time.sleep(_AFTER_CLOSE_S)
    return {"start": started, "at": at, "after_close": _growth(started, _memory(column)), "failed": failed}


def _memory(column):
    rss, pss = processes.memory_kb(column.proxies)
    return {"rss_kb": rss, "pss_kb": pss, "kernel_kb": processes.kernel_kb()}


def _growth(before, after):
    return {key: after[key] - before[key] for key in before}
