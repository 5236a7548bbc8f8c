"""A Python function as a program of a pod: forked here, run there. Its sockets belong to the pod in every respect, namespaces and
cgroup, and a test reads as if it stood inside."""
import multiprocessing
import os
import signal
import traceback

from .process import ProgramFailed


class Task:
    """`function(say, *arguments)` runs in `place`; what it says is heard here in order, then what it returns."""

    def __init__(self, place, function, arguments):
        self._name = f"{function.__name__} in {place.name}"
        self._inbox, outbox = multiprocessing.Pipe(duplex=False)
        self.pid = os.fork()
        if self.pid == 0:
            _child(place, function, arguments, outbox)
        outbox.close()
        self._said = []
        self._outcome = None

    def hear(self, timeout=10.0):
        """The next thing that the function says."""
        if not self._said:
            self._receive(timeout)
        if not self._said:
            raise ProgramFailed(f"{self._name} ended without a word: {self._outcome}")
        return self._said.pop(0)

    def result(self, timeout=60.0):
        """What the function returned; raises with its traceback where it raised."""
        while self._outcome is None:
            self._receive(timeout)
        kind, value = self._outcome
        if kind == "raised":
            raise ProgramFailed(f"{self._name} raised\n{value}")
        return value

    def kill(self):
        if self._outcome is None:
            os.kill(self.pid, signal.SIGKILL)
            self._end("killed", None)

    def _receive(self, timeout):
        if self._outcome is not None:
            return
        if not self._inbox.poll(timeout):
            raise ProgramFailed(f"{self._name} says nothing for {timeout:g} s")
        try:
            kind, value = self._inbox.recv()
        except EOFError:
            kind, value = "raised", "its process died"
        if kind == "said":
            self._said.append(value)
        else:
            self._end(kind, value)

    def _end(self, kind, value):
        self._outcome = (kind, value)
        self._inbox.close()
        os.waitpid(self.pid, 0)


def _child(place, function, arguments, outbox):
    try:
        place.enter()
        os.chdir("/")
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        outbox.send(("returned", function(lambda value: outbox.send(("said", value)), *arguments)))
    except BaseException:  # whatever it is, the parent shall see it; and never may a child run on into the parent's code
        outbox.send(("raised", traceback.format_exc()))
    finally:
        os._exit(0)
