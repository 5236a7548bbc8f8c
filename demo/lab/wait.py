"""Waiting for a condition, with a deadline and a message. The only place of the lab that polls."""
import time


class TimedOut(AssertionError):
    pass


def wait_for(condition, what, timeout=10.0, interval=0.01):
    """Calls `condition` until it returns something true, and returns that. A condition may raise AssertionError to say "not yet";
    the last one is told when time is up."""
    deadline = time.monotonic() + timeout
    last = None
    while True:
        try:
            last = condition()
            if last:
                return last
        except AssertionError as error:
            last = error
        if time.monotonic() >= deadline:
            raise TimedOut(f"{what}: not within {timeout:g} s (last: {last!r})")
        time.sleep(interval)
