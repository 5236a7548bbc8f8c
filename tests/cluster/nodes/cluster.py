"""A cluster's life: up, down, and images for it. Each is safe to do twice, and at any time, also after a run that was killed."""
import concurrent.futures
import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import time

from . import hierarchies, servers, tools
from .layout import CACHE, CLUSTER, KUBECONFIG, LOGS, RUN, node_name, node_pods
from .node import Node
from .shell import run, say

from lab.wait import wait_for

READY = RUN / "ready"  # written last, with the number of nodes


@contextlib.contextmanager
def _locked():
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def nodes():
    """Those of the cluster that is up; none: there is none, or it is not whole."""
    found = [Node(number + 1) for number in range(int(READY.read_text()))] if READY.exists() else []
    return found if all(node.pid for node in found) else []


def up(count=2):
    with _locked():
        if len(nodes()) == count:
            return say(f"is up already, with {count} nodes")
        tools.prepare()
        begin = time.monotonic()
        _clean()
        RUN.mkdir(mode=0o700)
        shutil.rmtree(LOGS, ignore_errors=True)
        LOGS.mkdir()
        credentials = servers.Credentials()
        KUBECONFIG.write_bytes(credentials.authority.kubeconfig("admin", "system:masters"))
        started = []
        for number in range(1, count + 1):
            node = Node(number)
            node.start(servers.files(number, count, credentials), started)
            started.append(node)
        READY.write_text(str(count))
        try:
            _make_ready(started)
        except Exception:
            READY.unlink()
            say(f"did not come up; what its servers said is in {LOGS}, and `down` removes it")
            raise
        say(f"{count} nodes are ready after {time.monotonic() - begin:.0f} s")


def _make_ready(started):
    def prepare(node):
        wait_for(lambda: subprocess.run(node.command("ctr", "version"), capture_output=True).returncode == 0,
                 f"containerd of {node.name} answers", timeout=120, interval=0.2)
        for image in tools.IMAGES.values():
            _import(node, image)

    with concurrent.futures.ThreadPoolExecutor() as pool:
        images = [pool.submit(prepare, node) for node in started]
        wait_for(is_ready, "the API server is ready", timeout=180, interval=0.2)
        kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=json.dumps(
            {"apiVersion": "v1", "kind": "List", "items": [_node_object(node.number) for node in started]}))
        kubectl("apply", "--server-side", "-f", CLUSTER / "manifests/coredns.yaml")
        for image in images:
            image.result()
    kubectl("wait", "--for=condition=Ready", "nodes", "--all", "--timeout=120s")
    kubectl("-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=120s")
    kubectl("-n", "default", "wait", "--for=create", "serviceaccount/default", "--timeout=60s")  # before it no pod can be made


def is_ready():
    """Whether the API server answers."""
    return subprocess.run(kubectl_command("get", "--raw", "/readyz"), capture_output=True, env=environment()).returncode == 0


def _node_object(number):
    labels = {"topology.kubernetes.io/region": "leat", "topology.kubernetes.io/zone": f"leat-{number}"}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node_name(number), "labels": labels},
            "spec": {"podCIDR": node_pods(number), "podCIDRs": [node_pods(number)]}}


def down():
    with _locked():
        _clean()
    say("is down")


def _clean():
    hierarchies.destroy()  # ends all processes; mounts, networks and pinned BPF objects go with their namespaces
    shutil.rmtree(RUN, ignore_errors=True)
    if RUN.exists():
        shutil.rmtree(RUN)


def load(archive):
    """Imports an OCI or Docker image archive into every node."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for imported in [pool.submit(_import, node, archive) for node in _need_nodes()]:
            imported.result()


def _import(node, archive):
    with open(archive, "rb") as file:
        node.run("ctr", "--namespace", "k8s.io", "images", "import", "-", stdin=file)


# ---------------------------------------------------------------- what users run

def _need_nodes():
    found = nodes()
    if not found:
        raise SystemExit("cluster: no cluster is up; run `tests/cluster/cluster up` first")
    return found


def environment():
    """For kubectl and helm: where they find themselves and the cluster, and keep what they cache."""
    return {**os.environ, "PATH": tools.search_path(), "KUBECONFIG": str(KUBECONFIG), "KUBECACHEDIR": str(RUN / "kubectl"),
            "HELM_CACHE_HOME": str(RUN / "helm"), "HELM_CONFIG_HOME": str(RUN / "helm"), "HELM_DATA_HOME": str(RUN / "helm")}


def outside_command(*words):
    """The command line that runs `words` on this machine, in node 1's network: only there the API server can be reached."""
    return ["nsenter", f"--net=/proc/{_need_nodes()[0].pid}/ns/net", "--", *map(str, words)]


def kubectl_command(*words):
    return outside_command(tools.TOOLS / "kubectl", *words)


def kubectl(*words, **options):
    return run(*kubectl_command(*words), env=environment(), **options)
