"""Where a program runs: the namespaces of a process that holds them open, and a cgroup."""
import itertools
import subprocess

from . import kernel, process
from .process import Process
from .remote import Task


class Place:
    """`holder` is the pid of the process whose namespaces this is; `cgroup` is joined by each program that is started."""

    def __init__(self, name, holder, cgroup, logs):
        self.name = name
        self.holder = holder
        self.cgroup = cgroup
        self.logs = logs

    def enter(self):
        """Runs in the child between fork and exec. The cgroup comes first: its path is only surely there in the caller's mounts."""
        self.cgroup.join()
        kernel.enter(self.holder, kernel.CLONE_NEWNET)
        kernel.enter(self.holder, kernel.CLONE_NEWNS)

    def start(self, command, environment=None):
        """A program in the background. Its log is its own: several Places may have one name."""
        program = str(command[0]).rsplit("/", 1)[-1]
        log = next(log for number in itertools.count(1) if not (log := self.logs / f"{self.name}-{number}-{program}.log").exists())
        return Process(command, log, self, environment)

    def run(self, command, **options):
        """A program to its end; options as process.run."""
        return process.run(command, self, **options)

    def spawn(self, function, *arguments):
        """A Python function in the background, as a program of this place: function(say, *arguments)."""
        return Task(self, function, arguments)

    def call(self, function, *arguments, timeout=60.0):
        """A Python function to its end, as a program of this place: what function(*arguments) returns."""
        return Task(self, _silent(function), arguments).result(timeout)

    def ip(self, *lines):
        """Configures links, addresses and routes: each line is what would follow `ip`."""
        self.run(["ip", "-batch", "-"], text_input="\n".join(lines) + "\n")

    def sysctl(self, **settings):
        """Sets net.* settings of this network namespace; `__` stands for a dot, as in ipv4__ip_forward."""
        with kernel.network_namespace(self.holder):
            for key, value in settings.items():
                with open("/proc/sys/net/" + key.replace("__", "/"), "w", encoding="ascii") as setting:
                    setting.write(str(value))

    def socket(self, make):
        """Calls `make` with this network namespace current: an observer's socket, which no pod's hook sees."""
        with kernel.network_namespace(self.holder):
            return make()


def _silent(function):
    def without_say(_, *arguments):
        return function(*arguments)
    without_say.__name__ = function.__name__
    return without_say


def hold(name, prepare):
    """Starts the process that keeps namespaces open; `prepare` makes them, in the child. Returns it as a Popen."""
    return subprocess.Popen(["sleep", "infinity"], preexec_fn=prepare, start_new_session=True, stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
