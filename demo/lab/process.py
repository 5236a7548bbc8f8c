"""A program of the lab: started in a place, its output kept in a file, ended by its own pid."""
import os
import signal
import subprocess
from pathlib import Path

from .wait import wait_for


class ProgramFailed(AssertionError):
    pass


class Process:
    """A program in the background. What it prints is in `log`."""

    def __init__(self, command, log, place, environment=None):
        self.name = Path(command[0]).name
        self.command = [str(word) for word in command]
        self.log = Path(log)
        with self.log.open("ab") as out:
            self._child = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                                           preexec_fn=place.enter, start_new_session=True,
                                           env={**os.environ, **(environment or {})})
        self.pid = self._child.pid

    @property
    def alive(self):
        return self._child.poll() is None

    def text(self):
        return self.log.read_text(errors="replace")

    def signal(self, number):
        if self.alive:
            os.kill(self.pid, number)

    def wait(self, timeout=10.0):
        """Its exit status; negative where a signal ended it."""
        try:
            return self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            raise ProgramFailed(f"{self.name} still runs after {timeout:g} s; its last words: {self.text()[-500:]!r}") from None

    def kill(self):
        """-9, as a crash does it."""
        self.signal(signal.SIGKILL)
        self.wait()

    def terminate(self, timeout=10.0):
        self.signal(signal.SIGTERM)
        return self.wait(timeout)

    def expect(self, text, timeout=10.0):
        """Waits until its output holds `text`; fails early when it ends without having said so."""
        def said():
            alive = self.alive
            if text in self.text():
                return True
            if not alive:
                raise ProgramFailed(f"{' '.join(self.command)} ended with {self._child.returncode}: {self.text()[-800:]}")
            return False
        wait_for(said, f"{self.name} says {text!r}", timeout)
        return self


def run(command, place, timeout=60.0, check=True, text_input=None, environment=None):
    """Runs a program in a place to its end. Returns subprocess.CompletedProcess; raises ProgramFailed with its output."""
    done = subprocess.run([str(word) for word in command], preexec_fn=place.enter, timeout=timeout, capture_output=True, text=True,
                          input=text_input, env={**os.environ, **(environment or {})}, errors="replace")
    if check and done.returncode != 0:
        raise ProgramFailed(f"{' '.join(map(str, command))} ended with {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done
