"""What tests do with the cluster."""
import contextlib
import json
import os
import re
import subprocess
from pathlib import Path

from nodes import cluster
from nodes.layout import CLUSTER, REPOSITORY
from nodes.shell import run

from images.build import BUILD
from lab.wait import wait_for

MEMORY_KIB = 4 << 20  # two nodes take half of that, with an application and Leat


def why_not():
    """Why this machine can't have a cluster; None: it can."""
    if os.geteuid() != 0:
        return "a cluster's nodes are made of namespaces and mounts: run as root"
    if not Path("/sys/kernel/btf/vmlinux").exists():
        return "this kernel has no BTF (/sys/kernel/btf/vmlinux)"
    available = int(re.search(r"MemAvailable: +(\d+)", Path("/proc/meminfo").read_text())[1])
    if available < MEMORY_KIB:
        return f"a cluster needs {MEMORY_KIB >> 20} GiB of free memory; {available >> 20} are there"
    if os.path.ismount("/usr"):
        return "/usr is a file system of its own, and a node's files are an overlay over / alone"
    return None


class Kube:
    def __init__(self):
        self.nodes = cluster.nodes()

    def kubectl(self, *words, **options):
        return cluster.kubectl(*words, **options)

    def get(self, *words):
        return json.loads(self.kubectl("get", *words, "-o", "json"))

    def helm(self, *words):
        return run(*cluster.outside_command("helm", *words), env=cluster.environment())

    def shell(self, line):
        """A line that a user types, in the repository's folder."""
        environment = cluster.environment()
        environment["PATH"] = f"{BUILD / 'bin'}:{environment['PATH']}"  # kubectl-leat
        return run(*cluster.outside_command("bash", "-euo", "pipefail", "-c", line), env=environment, cwd=REPOSITORY)

    @contextlib.contextmanager
    def applied(self, manifest):
        path = CLUSTER / "manifests" / manifest
        self.kubectl("apply", "--server-side", "-f", path)
        try:
            yield
        finally:
            self.kubectl("delete", "-f", path, "--ignore-not-found", "--wait", "--timeout=120s")

    def refuses(self, *words):
        """kubectl's words against it; fails if it takes them."""
        done = subprocess.run(cluster.kubectl_command(*words), capture_output=True, text=True, env=cluster.environment())
        assert done.returncode != 0, f"kubectl {' '.join(words)} was not refused"
        return done.stderr

    def pod(self, namespace, label, node=None):
        """The name of one that runs."""
        pods = [pod["metadata"]["name"] for pod in self.get("pods", "-n", namespace, "-l", label)["items"]
                if not pod["metadata"].get("deletionTimestamp") and node in (None, pod["spec"]["nodeName"])]
        assert pods, f"no pod with {label} in {namespace}"
        return pods[0]

    def ask(self, count, url="http://backend:8080/", *options):
        """Requests of the frontend: {"pods": {name: answers}, "clients": {address: …}, "failed": {reason: …}}"""
        return json.loads(self.kubectl("-n", "shop", "exec", "deployment/frontend", "--", "/shop", "ask", *options, str(count), url))

    def restarts(self, name):
        """How often each container of Leat's pods of that name was started anew."""
        pods = self.get("pods", "-n", "leat-system", "-l", f"app.kubernetes.io/name={name}")["items"]
        return [status["restartCount"] for pod in sorted(pods, key=lambda pod: pod["metadata"]["name"]) for status in pod["status"]["containerStatuses"]]

    def load(self):
        """What became of the load's connections since it was last asked: {"short http://…": {"requests", "failed", "dials"}, …}"""
        return json.loads(self.kubectl("-n", "shop", "exec", "deployment/load", "--", "/shop", "get", "http://127.0.0.1:8080/"))

    def install(self, *options):
        """Leat, with the namespace shop in the mesh."""
        self.helm("install", "leat", REPOSITORY / "charts" / "leat", "-n", "leat-system", "--create-namespace", "--wait", "--timeout", "180s", *options)
        self.kubectl("label", "namespace", "shop", "leat.dev/mesh=enabled", "--overwrite")

    def is_installed(self):
        return "leat" in self.helm("list", "-n", "leat-system", "-q")

    def uninstall(self):
        if self.is_installed():
            self.helm("uninstall", "leat", "-n", "leat-system", "--wait", "--timeout", "120s")
        self.kubectl("label", "namespace", "shop", "leat.dev/mesh-")
        wait_for(lambda: not self.get("pods", "-n", "leat-system")["items"], "Leat's pods are gone", timeout=90, interval=0.5)

    def enrolled(self, namespace="shop"):
        """Names of its pods that are in the mesh."""
        pods = [pod for node in self.nodes for pod in json.loads(self.leat(node.name, "pods", "-n", namespace, "-o", "json"))]
        return {pod["name"] for pod in pods if pod["enrolment"] == "enrolled"}

    def leat(self, node, *words):
        """The command line, in the proxy's pod of that node."""
        pod = self.pod("leat-system", "app.kubernetes.io/name=leat-proxy", node)
        return self.kubectl("-n", "leat-system", "exec", pod, "--", "leat", *words)

    def flows(self, node, **wanted):
        """Waits for records of that node that have all of these fields."""
        def matching():
            lines = self.leat(node, "flows", "--closed", "-o", "jsonl").splitlines()
            return [flow for flow in map(json.loads, filter(None, lines)) if all(flow.get(key) == value for key, value in wanted.items())]
        return wait_for(matching, f"a flow of {node} with {wanted}", timeout=20, interval=0.5)
