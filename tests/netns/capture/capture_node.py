"""A node for capture's tests: pods, a stranger outside the mesh and the node itself, as network namespaces on one bridge.

Nothing of the machine's own network is touched. `node.driver` is a capture_driver process that lives in the node's namespace and plays agent
and proxy; `pod(...)` runs Python inside a pod (its namespace, its cgroup) in a process of its own, so that sockets live on between calls.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import pytest

DRIVER = os.environ.get("LEAT_BUILD", str(pathlib.Path(__file__).parents[3] / "build")) + "/bin/capture_driver"

OUTBOUND, HBONE, PLAINTEXT = 0, 1, 2
PERMISSIVE, STRICT, DISABLE = 0, 1, 2


def run(*command):
    subprocess.run(command, check=True, capture_output=True, text=True)


def cgroup2_mount():
    for line in open("/proc/mounts"):
        _, folder, kind, *_ = line.split()
        if kind == "cgroup2":
            return pathlib.Path(folder)
    pytest.skip("no cgroup2 file system is mounted", allow_module_level=True)


class LineProcess:
    """A child that answers each JSON line with one."""

    def __init__(self, command, netns, cgroup):
        def enter():
            (cgroup / "cgroup.procs").write_text(str(os.getpid()))

        self.process = subprocess.Popen(
            ["nsenter", f"--net={netns}", *command],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, preexec_fn=enter)

    def ask(self, request):
        self.process.stdin.write(json.dumps(request) + "\n")
        line = self.process.stdout.readline()
        assert line, f"{self.process.args} ended"
        reply = json.loads(line)
        if "error" in reply:
            raise RuntimeError(reply["error"])
        return reply["ok"]

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


# Runs statements in a pod and answers with the value of the last one, if that is an expression.
SHELL = r"""
import ast, json, socket, struct, sys, os, errno, select
world = dict(socket=socket, struct=struct, os=os, errno=errno, select=select)
exec('''
def opened(family=socket.AF_INET, **options):
    s = socket.socket(family, socket.SOCK_STREAM, options.get("protocol", 0))
    s.settimeout(options.get("timeout", 5))
    if options.get("reuse"): s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if "v6only" in options: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, options["v6only"])
    if "bind" in options: s.bind(options["bind"])
    return s
def dial(address, family=socket.AF_INET, **options):
    s = opened(family, **options)
    s.connect(address)
    return s
def tried(address, family=socket.AF_INET, **options):
    try: dial(address, family, **options).close(); return "ok"
    except socket.timeout: return "timeout"
    except OSError as e: return errno.errorcode[e.errno]
def serve(address, family=socket.AF_INET, backlog=128, **options):
    s = opened(family, bind=address, reuse=True, **options)
    s.listen(backlog)
    return s
def accepted(listener):
    s, peer = listener.accept()
    s.settimeout(5)
    return s, peer
''', world)
for line in sys.stdin:
    try:
        tree = ast.parse(json.loads(line))
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, "pod", "exec"), world)
        value = eval(compile(ast.Expression(last.value), "pod", "eval"), world) if last else None
        json.dumps(value)
        reply = {"ok": value}
    except TypeError as error:
        reply = {"ok": None} if "not JSON serializable" in str(error) else {"error": repr(error)}
    except BaseException as error:
        reply = {"error": repr(error)}
    print(json.dumps(reply), flush=True)
"""


class Place:
    """A network namespace with a cgroup: a pod, the stranger, or the node itself."""

    def __init__(self, node, name, number, cgroup):
        self.name, self.number = name, number
        self.netns = f"/run/netns/{node.id}-{name}"
        self.v4, self.v6 = f"10.99.0.{number}", f"fd00:99::{number:x}"
        self.cgroup = cgroup
        self.cgroup.mkdir(parents=True)
        run("ip", "netns", "add", f"{node.id}-{name}")
        self.ip("link", "set", "lo", "up")
        self.shell = None

    def ip(self, *arguments):
        run("ip", "-n", os.path.basename(self.netns), *arguments)

    def sysctl(self, name, value):
        run("nsenter", f"--net={self.netns}", "sysctl", "-qw", f"{name}={value}")

    def __call__(self, code):
        if not self.shell:
            self.shell = LineProcess([sys.executable, "-c", SHELL], self.netns, self.cgroup)
        return self.shell.ask(code)

    def spec(self, **more):
        return dict(uid=self.name, index=self.number, netns=self.netns, addresses=[self.v4, self.v6], **more)


class Node:
    def __init__(self):
        self.id = f"leatcap{os.getpid()}"
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=self.id))
        run("mount", "-t", "bpf", "none", str(self.folder))
        self.cgroup = cgroup2_mount() / self.id
        for child in ("pods", "agent", "kubelet", "stranger"):
            (self.cgroup / child).mkdir(parents=True)
        self.places, self.drivers = [], []
        self.host = self.place("node", 1, self.cgroup / "kubelet" / "shell")
        self.host.ip("link", "add", "br0", "type", "bridge")
        self.host.ip("addr", "add", "10.99.0.1/24", "dev", "br0")
        self.host.ip("addr", "add", "fd00:99::1/64", "dev", "br0", "nodad")
        self.host.ip("link", "set", "br0", "up")
        self.a = self.wired("a", 2)
        self.b = self.wired("b", 3)
        self.stranger = self.wired("stranger", 9, self.cgroup / "stranger" / "shell")
        self.driver = self.new_driver()

    def place(self, name, number, cgroup):
        place = Place(self, name, number, cgroup)
        self.places.append(place)
        return place

    def wired(self, name, number, cgroup=None):
        place = self.place(name, number, cgroup or self.cgroup / "pods" / name)
        node = os.path.basename(self.host.netns)
        self.host.ip("link", "add", f"v{name}", "type", "veth", "peer", "name", "eth0", "netns", os.path.basename(place.netns))
        self.host.ip("link", "set", f"v{name}", "master", "br0", "up")
        place.ip("addr", "add", f"{place.v4}/24", "dev", "eth0")
        place.ip("addr", "add", f"{place.v6}/64", "dev", "eth0", "nodad")
        place.ip("link", "set", "eth0", "up")
        place.ip("route", "add", "default", "via", "10.99.0.1")
        place.ip("-6", "route", "add", "default", "via", "fd00:99::1")
        return place

    def new_driver(self):
        driver = LineProcess([DRIVER, os.environ.get("LEAT_LOG", "error")], self.host.netns, self.cgroup / "agent")
        self.drivers.append(driver)
        return driver

    @property
    def options(self):
        return dict(bpffs=str(self.folder / "leat"), pods=str(self.cgroup / "pods"), agent=str(self.cgroup / "agent"),
                    kubelet=str(self.cgroup / "kubelet"))

    def do(self, command, **arguments):
        return self.driver.ask(dict(cmd=command, **arguments))

    def open(self):
        return self.do("open", **self.options)

    def apply(self, pods, aliases=(), direct=(), **more):
        report = self.do("apply", pods=pods, aliases=list(aliases), direct=list(direct), **more)
        assert report["failed"] == {}, report
        return report

    def count(self, place, name):
        """The place's counter of this name; 0 if it never counted."""
        return self.do("counters").get(str(place.number), {}).get(name, 0)

    def reset(self):
        """Between tests: the driver forgets everything, the pods' shells are new."""
        for place in self.places:
            if place.shell:
                place.shell.kill()
                place.shell = None
        for driver in self.drivers:
            driver.kill()
        self.drivers = []
        self.driver = self.new_driver()
        self.do("uninstall", **self.options)

    def close(self):
        try:
            self.reset()
        finally:
            for driver in self.drivers:
                driver.kill()
            for place in self.places:
                subprocess.run(["ip", "netns", "del", os.path.basename(place.netns)])
            run("umount", str(self.folder))
            shutil.rmtree(self.folder)
            for folder, _, _ in sorted(os.walk(self.cgroup), key=lambda entry: -len(entry[0])):
                os.rmdir(folder)
