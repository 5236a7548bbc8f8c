"""Two CPUs, two sides: every proxy on the first, load and servers on the second, so that neither takes the other's time."""
import contextlib
import os

PROXY_CPU, LOAD_CPU = 0, 1


def settle():
    """This program and all that it starts belong to the load's side, unless said otherwise."""
    if (os.cpu_count() or 1) < 2:
        raise RuntimeError("the benchmark needs two CPUs: proxies on one, load and servers on the other")
    os.sched_setaffinity(0, {LOAD_CPU})


@contextlib.contextmanager
def proxy_side():
    """What is started inside, and what that starts later, runs on the proxies' CPU."""
    os.sched_setaffinity(0, {PROXY_CPU})
    try:
        yield
    finally:
        os.sched_setaffinity(0, {LOAD_CPU})
