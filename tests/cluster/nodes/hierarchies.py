"""The cgroup hierarchies of this machine. A node has one cgroup of the same path in each, which is the root to those inside.

Processes are always found and ended by the cgroup2 one (lab.cgroup.Cgroup), which no process can leave."""
from dataclasses import dataclass
from pathlib import Path

from .layout import CGROUP

from lab.cgroup import Cgroup, mount_point


@dataclass(frozen=True)
class Hierarchy:
    folder: Path   # where it is mounted
    kind: str      # cgroup or cgroup2
    options: str   # how to mount the same one again


def hierarchies():
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        where, _, filesystem = line.partition(" - ")
        kind, _, options = filesystem.split()
        if kind in ("cgroup", "cgroup2"):
            names = [option for option in options.split(",") if option not in ("rw", "ro")]
            if any(name.startswith("name=") for name in names):
                names.insert(0, "none")
            found.append(Hierarchy(Path(where.split()[4]), kind, ",".join(names) if kind == "cgroup" else ""))
    return found


def version_2_alone():
    """Then controllers must be handed down, and a cgroup that does so has no process of its own. A hybrid machine's are in version 1."""
    return all(hierarchy.kind == "cgroup2" for hierarchy in hierarchies())


def create(node):
    """Makes the node's cgroups; returns the files that a process writes `0` to in order to join them."""
    joins = []
    for hierarchy in hierarchies():
        folder = hierarchy.folder
        for name in (CGROUP, node):
            if version_2_alone():
                hand_down_controllers(folder)
            above, folder = folder, folder / name
            folder.mkdir(exist_ok=True)
            if "cpuset" in hierarchy.options.split(","):  # a new one has no processor, and can't be joined
                for file in ("cpuset.cpus", "cpuset.mems"):
                    (folder / file).write_text((above / file).read_text())
        joins.append(folder / "cgroup.procs")
    return joins


def hand_down_controllers(folder):
    names = (folder / "cgroup.controllers").read_text().split()
    (folder / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in names))


def of(pid):
    """The files that one writes to in order to join a process's cgroups."""
    found = []
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        for hierarchy in hierarchies():
            if set(names.split(",")) <= set((hierarchy.options or "").split(",")):
                found.append(hierarchy.folder / path.lstrip("/") / "cgroup.procs")
    return found


def own(node):
    return Cgroup(mount_point() / CGROUP / node)


def destroy():
    """Ends whatever runs in any node, and removes the cgroups. Needs to know nothing of who started it."""
    Cgroup(mount_point() / CGROUP).destroy()
    for hierarchy in hierarchies():
        if hierarchy.kind == "cgroup":
            _remove(hierarchy.folder / CGROUP)


def _remove(folder):
    if folder.is_dir():
        for below in folder.iterdir():
            if below.is_dir():
                _remove(below)
        folder.rmdir()
