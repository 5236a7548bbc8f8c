"""A lab: nodes, wires between them, one folder, one cgroup, and the certainty that all of it goes away."""
import atexit
import json
import os
import re
import secrets
import shutil
import signal
from pathlib import Path

from .cgroup import Cgroup, mount_point
from .manifests import Manifests
from .node import LeatMissing, Node
from .place import Place

_FOLDERS = Path("/run")
_PREFIX = "leat-"
_NAME = re.compile(r"leat-(bench|demo|lab|plain|quiet|test)-[0-9]+[0-9a-f]{4}")  # a group is swept by its name alone: nobody else's may match
_REPOSITORY = Path(__file__).resolve().parents[2]
_KEPT = "kept"


class Lab:
    """`purpose` is part of the name: leat-<purpose>-<pid><random>. Where a lab with the same purpose was kept, both live side by side."""

    def __init__(self, purpose="lab", binaries=None):
        _require_root()
        self.name = f"{_PREFIX}{purpose}-{os.getpid()}{secrets.token_hex(2)}"
        self.binaries = Path(binaries or os.environ.get("LEAT_BIN") or _REPOSITORY / "build" / "bin")
        self.folder = _FOLDERS / self.name
        self.first_uid = 61000 + os.getpid() % 3000
        self.nodes = []
        self._children = []
        self._is_kept = False
        self.folder.mkdir(mode=0o755)
        (self.folder / "owner").write_text(f"{os.getpid()} {_start_time(os.getpid())}")
        self.logs, self.ca, self.hosts = self.folder / "logs", self.folder / "ca", self.folder / "hosts"
        self.logs.mkdir()
        self.ca.mkdir()
        self.hosts.write_text("127.0.0.1 localhost\n::1 localhost\n")
        self.objects = Manifests(self.folder / "objects")
        self.cgroup = Cgroup(mount_point() / self.name).create()
        atexit.register(self._at_exit)
        _turn_sigterm_into_interrupt()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---------------------------------------------------------------- what is in it

    def add_node(self, name):
        node = Node(self, name, len(self.nodes) + 1)
        for other in self.nodes:
            _join(other, node)
        self.nodes.append(node)
        return node

    def add_host_name(self, name, *addresses):
        """Every pod of the lab finds `name` at these addresses, as a cluster's DNS would tell it."""
        with self.hosts.open("a", encoding="ascii") as hosts:
            hosts.writelines(f"{address} {name}\n" for address in addresses)

    def binary(self, name):
        path = self.binaries / name
        if not path.exists():
            raise LeatMissing(f"{path} is not built: ./dev build")
        return path

    def reap(self, child):
        self._children.append(child)

    # ---------------------------------------------------------------- end

    def keep(self):
        """The lab outlives this process, until Lab.remove(). How to get into its pods is written down beside it."""
        places = {pod.name: [pod.holder, str(pod.cgroup.path)] for node in self.nodes for pod in node.pods}
        (self.folder / "pods.json").write_text(json.dumps(places))
        (self.folder / "owner").write_text(_KEPT)
        atexit.unregister(self._at_exit)
        self._is_kept = True

    def close(self):
        """Ends every program of the lab and removes its every trace, unless it is kept. May be called twice."""
        atexit.unregister(self._at_exit)
        if self._is_kept:
            return
        _remove(self.name)
        for child in self._children:
            child.wait()
        self._children.clear()

    def _at_exit(self):
        if _owner(self.folder) == os.getpid():  # not in a child that was forked and did not reach exec
            self.close()

    @staticmethod
    def sweep():
        """Removes what is left of labs whose process died without cleaning up. Returns their names."""
        return [_remove(name) for name, owner in _found() if owner is None]

    @staticmethod
    def kept(purpose):
        """Names of labs that were left up on purpose."""
        return [name for name, owner in _found() if owner == _KEPT and name.startswith(f"{_PREFIX}{purpose}-")]

    @staticmethod
    def enter_kept(name, pod):
        """The calling process becomes a program of that pod."""
        places = json.loads((_FOLDERS / name / "pods.json").read_text())
        if pod not in places:
            raise SystemExit(f"no pod {pod}: there are {', '.join(places)}")
        holder, cgroup = places[pod]
        Place(pod, holder, Cgroup(cgroup), None).enter()

    @staticmethod
    def remove(name):
        return _remove(name)


def _join(left, right):
    """A wire between two nodes, and the routes to each other's pods over it."""
    to_right, to_left = f"to-{right.name}", f"to-{left.name}"
    left.ip(f"link add {to_right} type veth peer name {to_left} netns {right.holder}")
    subnet = f"{left.number}{right.number}"
    for node, device, mine, other in ((left, to_right, 1, right), (right, to_left, 2, left)):
        yours = 3 - mine
        node.ip(f"link set {device} up",
                f"addr add 192.168.{subnet}.{mine}/30 dev {device}",
                f"addr add fd00:ffff:{subnet}::{mine}/64 dev {device} nodad",
                f"route add 10.{other.number}.0.0/24 via 192.168.{subnet}.{yours} src {node.gateway4}",
                f"route add fd00:{other.number}::/64 via fd00:ffff:{subnet}::{yours} src {node.gateway6}")


def _found():
    """(name, owner) of every lab of this machine; owner is a pid, "kept", or None where the owner is dead."""
    folders = {path.name for path in _FOLDERS.glob(f"{_PREFIX}*-*") if (path / "owner").exists()}
    groups = {path.name for path in mount_point().glob(f"{_PREFIX}*-*") if _NAME.fullmatch(path.name)}
    return [(name, _owner(_FOLDERS / name)) for name in sorted(folders | groups)]


def _owner(folder):
    try:
        words = (folder / "owner").read_text().split()
    except FileNotFoundError:
        return None
    if words == [_KEPT]:
        return _KEPT
    pid, start = words
    return int(pid) if _start_time(int(pid)) == start else None


def _start_time(pid):
    """Tells a process from a later one with the same pid."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        return None


def _remove(name):
    """The namespaces and all that is mounted and pinned in them go with the last process that holds them."""
    Cgroup(mount_point() / name).destroy()
    shutil.rmtree(_FOLDERS / name, ignore_errors=True)
    return name


def _require_root():
    if os.geteuid() != 0:
        raise PermissionError("a lab makes namespaces and cgroups: run as root")


def _turn_sigterm_into_interrupt():
    """So that whoever ends this process ends the lab too, through the same doors as Ctrl-C."""
    if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
