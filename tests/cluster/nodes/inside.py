"""Process 1 of a node: gives the node a root of its own, then starts, restarts and reaps its servers. It is started by node.py in new
namespaces and in the node's cgroups, and goes on when it reads `start`, which it is told once the node's network is there."""
import os
import subprocess
import sys
import time
from pathlib import Path

from . import servers
from .hierarchies import hand_down_controllers, hierarchies, version_2_alone
from .layout import HELD, LOGS, RUN, TOOLS, node_name
from .shell import run, say
from .tools import CNI_PLUGINS, search_path

from lab.cgroup import Cgroup, mount_point
from lab.wait import wait_for

RESTART_PAUSE_S = 0.5
LOOK_S = 0.1  # for servers that ended; blocking signals instead would block them in every server, too

# The kubelet sets these; they are the machine's, so it writes to files instead.
MACHINE_SETTINGS = {"vm/overcommit_memory": "1", "vm/panic_on_oom": "0", "kernel/panic": "10", "kernel/panic_on_oops": "1",
                    "kernel/keys/root_maxkeys": "1000000", "kernel/keys/root_maxbytes": "25000000"}


def main(number):
    make_root(RUN / node_name(number), node_name(number))
    if sys.stdin.readline() != "start\n":
        sys.exit("the one who was to make the network is gone")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    supervise(servers.commands(number), node_name(number))


# ---------------------------------------------------------------- the node's files

def mount(kind, source, target, options=""):
    target.mkdir(parents=True, exist_ok=True)
    run("mount", "-t", kind, *(["-o", options] if options else []), source, target)


def bind(source, target, recursive=False):
    target.mkdir(parents=True, exist_ok=True)
    run("mount", "--rbind" if recursive else "--bind", source, target)


def make_root(folder, name):
    memory = folder / "memory"  # everything that the node writes; goes with its mount namespace
    mount("tmpfs", "tmpfs", memory, "size=50%,mode=755")
    upper, root = memory / "upper", memory / "root"
    run("cp", "-a", folder / "files", upper)
    plugins = upper / "opt/cni/bin"
    plugins.mkdir(parents=True)
    for plugin in ("ptp", "host-local", "loopback"):
        run("cp", CNI_PLUGINS / plugin, plugins)
    (memory / "work").mkdir()
    mount("overlay", "overlay", root, f"lowerdir=/,upperdir={upper},workdir={memory / 'work'}")

    machine = hierarchies()
    mount("proc", "proc", root / "proc")
    mount("sysfs", "sysfs", root / "sys")
    mount("bpf", "bpf", root / "sys/fs/bpf")
    for kind in ("tracefs", "debugfs"):
        place = root / "sys/kernel" / {"tracefs": "tracing", "debugfs": "debug"}[kind]
        if place.is_dir():
            mount(kind, kind, place)
    _mount_cgroups(root, machine)
    bind("/dev", root / "dev", recursive=True)
    for place in ("run", "tmp", "root"):
        mount("tmpfs", "tmpfs", root / place, "mode=755")
    for store in ("containerd", "kubelet", "etcd"):  # an overlay can't lie on an overlay
        (memory / store).mkdir(mode=0o700)
        bind(memory / store, root / "var/lib" / store)
    bind(TOOLS, root / servers.BIN.strip("/"))
    bind(LOGS, root / "var/log/cluster")
    for setting, value in MACHINE_SETTINGS.items():
        stand_in = memory / setting.replace("/", "-")
        stand_in.write_text(value + "\n")
        run("mount", "--bind", stand_in, root / "proc/sys" / setting)

    (root / "machine").mkdir()
    run("pivot_root", root, root / "machine")
    os.chdir("/")
    run("umount", "--lazy", "/machine")  # with it go the machine's own mounts, so that none is kept alive by this node
    os.rmdir("/machine")
    run("mount", "--make-rshared", "/")  # for volumes with mountPropagation
    HELD.mkdir()
    Path("/proc/sys/kernel/hostname").write_text(name)


def _mount_cgroups(root, machine):
    """Mounted anew inside the cgroup namespace, the node's own cgroup is the root of each hierarchy."""
    alone = version_2_alone()
    if not alone:
        mount("tmpfs", "tmpfs", root / "sys/fs/cgroup", "mode=755")
    for hierarchy in machine:
        place = root / str(hierarchy.folder).lstrip("/")
        mount(hierarchy.kind, hierarchy.kind, place, hierarchy.options)
        if alone:
            (place / "init").mkdir()
            (place / "init/cgroup.procs").write_text("0")
            hand_down_controllers(place)


# ---------------------------------------------------------------- its servers

def supervise(commands, node):
    """Keeps every server running for ever. Orphans of pods end here, too."""
    running, waiting = {}, {}  # process -> name; name -> when it may start
    cgroups = Cgroup(mount_point())

    def start(name):
        own = cgroups.child("system.slice").child(f"{name}.service")  # as under systemd: an agent looks for the kubelet's there
        with open(f"/var/log/cluster/{node}-{name}.log", "ab") as log:
            child = subprocess.Popen(commands[name], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True, preexec_fn=own.join,
                                     env={"PATH": search_path(servers.BIN), "HOME": "/root", "LANG": "C.UTF-8"})
        running[child.pid] = name

    for name in commands:
        if name in servers.WAIT_FOR_API:
            wait_for(lambda own=f"{servers.KUBE}/{name}.kubeconfig": _api_is_ready(own), "the API server is ready", timeout=120, interval=0.2)
        start(name)
    while True:
        while (ended := _reap()) is not None:
            pid, status = ended
            if name := running.pop(pid, None):
                say(f"{node}: {name} ended with {os.waitstatus_to_exitcode(status)}")
                waiting[name] = time.monotonic() + RESTART_PAUSE_S
        for name, when in list(waiting.items()):
            if time.monotonic() >= when and not (HELD / name).exists():
                del waiting[name]
                start(name)
        time.sleep(LOOK_S)


def _reap():
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, status) if pid else None


def _api_is_ready(kubeconfig):
    return subprocess.run([f"{servers.BIN}/kubectl", "--kubeconfig", kubeconfig, "get", "--raw", "/readyz"], capture_output=True).returncode == 0
