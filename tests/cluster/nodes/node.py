"""One node, seen from the machine: it is started, entered, asked whether it lives, and told to hold a server down."""
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from . import hierarchies
from .layout import CGROUP, CLUSTER, HELD, LOGS, NODES_PREFIX, RUN, node_address, node_name, node_pods
from .servers import BIN
from .shell import run
from .tools import search_path

from lab.wait import wait_for

BRIDGE = "eth0"  # node 1's own interface is the bridge that the others are plugged into


class Node:
    def __init__(self, number):
        self.number, self.name = number, node_name(number)
        self._pid_file = RUN / self.name / "pid"

    @property
    def pid(self):
        """Of its process 1; None: it does not run. The cgroup tells that the process is the node's, whoever has had its id before."""
        try:
            pid = int(self._pid_file.read_text())
            return pid if f"/{CGROUP}/{self.name}" in Path(f"/proc/{pid}/cgroup").read_text() else None
        except (FileNotFoundError, ProcessLookupError):
            return None

    def start(self, files, others):
        """Starts it, wired to the nodes that run already (`others`, node 1 first), which are told the way to its pods."""
        for path, content in files.items():
            file = RUN / self.name / "files" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            file.chmod(0o600 if "kubernetes/" in path else 0o644)
        joins = hierarchies.create(self.name)

        def join():
            for file in joins:
                file.write_text("0")

        with open(LOGS / f"{self.name}.log", "wb") as log:
            outer = subprocess.Popen(["unshare", "--mount", "--net", "--pid", "--cgroup", "--uts", "--ipc", "--fork", "--",
                                      sys.executable, CLUSTER / "cluster", "_node", str(self.number)],
                                     stdin=subprocess.PIPE, stdout=log, stderr=log, text=True, cwd="/", preexec_fn=join, start_new_session=True)
        children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children")
        self._pid_file.write_text(wait_for(lambda: children.read_text().strip(), f"{self.name} has a process 1"))
        self._make_network(others)
        wait_for(Path(f"/proc/{self.pid}/root{HELD}").is_dir, f"{self.name} has files of its own")  # before it nobody may run a thing in there
        outer.stdin.write("start\n")
        outer.stdin.close()

    def _make_network(self, others):
        mine = ["link set lo up"]
        if others:
            first = others[0]
            run("ip", "link", "add", "eth0", "netns", str(self.pid), "type", "veth", "peer", "name", self.name, "netns", str(first.pid))
            first.ip(f"link set {self.name} master {BRIDGE} up")
        else:
            # Its own hardware address: otherwise it is that of a port, and changes as nodes come.
            mine.append(f"link add {BRIDGE} address 02:00:00:00:00:01 type bridge")
        mine += [f"addr add {node_address(self.number)}/{NODES_PREFIX} dev eth0", "link set eth0 up"]
        # Services' addresses have to be routed somewhere before kube-proxy's rules see them.
        mine.append(f"route add default via {node_address(1)}" if others else f"route add default dev {BRIDGE}")
        self.ip(*mine, *(f"route add {node_pods(other.number)} via {node_address(other.number)}" for other in others))
        for other in others:
            other.ip(f"route add {node_pods(self.number)} via {node_address(self.number)}")

    def ip(self, *commands):
        run("nsenter", f"--net=/proc/{self.pid}/ns/net", "ip", "-batch", "-", input="\n".join(commands) + "\n")

    def command(self, *words):
        """The command line that runs `words` inside the node, as one of its own processes."""
        script = 'for file in $JOIN; do echo $$ >"$file"; done; unset JOIN; exec "$@"'
        return ["env", f"JOIN={' '.join(map(str, hierarchies.of(self.pid)))}", f"PATH={search_path(BIN)}", "sh", "-c", script, "sh",
                "nsenter", "--all", "--target", str(self.pid), "--", *map(str, words)]

    def run(self, *words, **options):
        return run(*self.command(*words), cwd="/", **options)

    @contextlib.contextmanager
    def hold(self, server):
        """Ends a server of this node, and keeps it down meanwhile."""
        self.run("touch", f"{HELD}/{server}")
        try:
            self.kill(server)
            yield
        finally:
            self.run("rm", f"{HELD}/{server}")

    def kill(self, server):
        for pid in hierarchies.own(self.name).pids():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode().rsplit("/", 1)[-1] == server:
                    os.kill(pid, signal.SIGKILL)
