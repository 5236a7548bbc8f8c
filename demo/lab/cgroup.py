"""A cgroup2 subtree: who belongs to a lab, and the one way to end all of it."""
import errno
import os
from pathlib import Path

from .wait import wait_for


def mount_point():
    """Where cgroup2 is mounted: alone, or beside version 1 (hybrid)."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(where)
    raise RuntimeError("no cgroup2 hierarchy is mounted: mount -t cgroup2 none /sys/fs/cgroup/unified")


class Cgroup:
    def __init__(self, path):
        self.path = Path(path)

    def create(self):
        self.path.mkdir(parents=True, exist_ok=True)
        return self

    def child(self, name):
        return Cgroup(self.path / name).create()

    def join(self):
        """The calling process becomes a member."""
        (self.path / "cgroup.procs").write_text(str(os.getpid()))

    def pids(self):
        found = []
        for folder, _, _ in os.walk(self.path):
            try:
                found += [int(line) for line in Path(folder, "cgroup.procs").read_text().split()]
            except FileNotFoundError:
                pass
        return found

    def destroy(self):
        """Kills every member, below too, and removes the subtree."""
        if not self.path.exists():
            return
        (self.path / "cgroup.kill").write_text("1")
        wait_for(lambda: "populated 0" in (self.path / "cgroup.events").read_text(), f"{self.path} is empty")
        for folder, _, _ in os.walk(self.path, topdown=False):
            wait_for(lambda gone=Path(folder): _removed(gone), f"{folder} is removed")


def _removed(folder):
    try:
        folder.rmdir()
    except OSError as error:
        if error.errno == errno.EBUSY:  # the last member is a zombie for another moment
            return False
        if error.errno != errno.ENOENT:
            raise
    return True
