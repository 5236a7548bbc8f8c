"""A node: bridge for its pods, folder of state, cgroups, and the two programs of Leat that run on it."""
import json
import os
import signal

from . import kernel
from .place import Place, hold
from .pod import Pod
from .services import ruleset
from .wait import wait_for
from .wire import Wire


class LeatMissing(RuntimeError):
    """A binary is not built."""


class Node(Place):
    def __init__(self, lab, name, number):
        self.lab = lab
        self.number = number
        self.folder = lab.folder / name
        self.netns_folder = self.folder / "netns"
        self.bpffs = self.folder / "bpf"
        self.state = self.folder / "state"
        self.gateway4, self.gateway6 = f"10.{number}.0.1", f"fd00:{number}::1"
        self.proxy_uid = lab.first_uid + number
        self.metrics_url = "http://127.0.0.1:15020"  # in the node's namespace
        self.pods = []
        self.agent = self.proxy = None
        self._next_pod = 11
        for folder in (self.netns_folder, self.bpffs, self.state):
            folder.mkdir(parents=True)
        cgroup = lab.cgroup.child(name)
        self.pods_cgroup, self.agent_cgroup, self.proxy_cgroup, self.kubelet_cgroup = (
            cgroup.child(part) for part in ("pods", "agent", "proxy", "kubelet"))
        self._holder = hold(name, lambda: self._make_namespaces(cgroup))
        super().__init__(name, self._holder.pid, cgroup, lab.logs)
        self._connect()
        lab.reap(self._holder)

    def _make_namespaces(self, cgroup):
        cgroup.join()
        kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWNET)
        kernel.make_mounts_private()
        kernel.mount("bpf", str(self.bpffs), "bpf")
        kernel.mount("tmpfs", str(self.netns_folder), "tmpfs")

    def _connect(self):
        self.sysctl(ipv4__ip_forward=1, ipv4__conf__all__send_redirects=0, ipv4__conf__default__send_redirects=0,
                    ipv6__conf__all__forwarding=1)
        # Without an address of its own a bridge takes the lowest of its ports': a pod that comes or goes could change it, and its
        # neighbours would send to the old one until their ARP entries are stale.
        self.ip("link set lo up", f"link add pods address 02:6c:65:61:74:{self.number:02x} type bridge", "link set pods up",
                f"addr add {self.gateway4}/32 dev pods", f"addr add {self.gateway6}/128 dev pods nodad")

    # ---------------------------------------------------------------- pods

    def add_pod(self, name, namespace="default", ipv6=True):
        pod = Pod(self, name, namespace, self._next_pod, ipv6)
        self._next_pod += 1
        self.pods.append(pod)
        self.lab.reap(pod._pause)
        return pod

    def release(self, pod):
        self.pods.remove(pod)

    def part(self, cgroup):
        """The node's namespaces with another of its cgroups: where the kubelet, the agent and the proxy run."""
        return Place(f"{self.name}-{cgroup.path.name}", self.holder, cgroup, self.logs)

    @property
    def kubelet(self):
        return self.part(self.kubelet_cgroup)

    def serve_virtual_addresses(self, services):
        """Stand-in for kube-proxy: until a pod is enrolled somebody must turn a Service's address into a pod's. A connection that ended
        is forgotten at once: while conntrack remembers it, a later one from the same port to the same pod gets another source port,
        and the kernel can't vouch for a handshake whose ports change on the way (docs/operations.md, "Limits")."""
        self.run(["nft", "-f", "-"], text_input=ruleset(services))
        self.sysctl(netfilter__nf_conntrack_tcp_timeout_time_wait=1, netfilter__nf_conntrack_tcp_timeout_close=1)

    def wire_to(self, other):
        """The link to a neighbour, for capturing what passes it."""
        return Wire(self, f"to-{other.name}")

    # ---------------------------------------------------------------- Leat

    @property
    def proxy_socket(self):
        return self.state / "proxy.sock"

    @property
    def api_socket(self):
        return self.state / "api.sock"

    def write_config(self, **changes):
        """agent.yaml of this node; `changes` replace top-level fields, None leaves one out."""
        config = {
            "node": self.name, "objects": str(self.lab.objects.folder), "state": str(self.state), "ca": str(self.lab.ca),
            "bpffs": str(self.bpffs / "leat"),
            "cgroups": {"pods": str(self.pods_cgroup.path), "agent": str(self.agent_cgroup.path), "kubelet": str(self.kubelet_cgroup.path)},
            "proxy_user": self.proxy_uid, "log": os.environ.get("LEAT_LOG", "info"), **changes}
        config = {field: value for field, value in config.items() if value is not None}
        path = self.folder / "agent.yaml"
        path.write_text(json.dumps(config, indent=2) + "\n")  # JSON is YAML too
        return path

    def start_agent(self, **config):
        path = self.write_config(**config)
        self.agent = self.part(self.agent_cgroup).start([self.lab.binary("leat-agent"), "--config", path])
        return self.agent

    def start_proxy(self, *options, workers=2, launcher=()):
        """One more proxy; the agent lets at most one be armed. `self.proxy` is the newest. `launcher`: what it is started by."""
        command = [*launcher, self.lab.binary("leat-proxy"), "--agent", self.proxy_socket, "--workers", workers, "--user", self.proxy_uid,
                   "--log", os.environ.get("LEAT_LOG", "info"), "--metrics", self.metrics_url.removeprefix("http://"), *options]
        self.proxy = self.part(self.proxy_cgroup).start(command)
        return self.proxy

    def start_leat(self, workers=2, **config):
        self.start_agent(**config)
        wait_for(lambda: self.api_socket.exists() or self._ended(self.agent), f"{self.name}: the agent listens")
        self.start_proxy(workers=workers)

    def wait_ready(self, timeout=15.0):
        """Until `leat check` has nothing to complain about: hooks attached, a proxy armed, certificates there."""
        wait_for(lambda: self._check_passes(), f"{self.name}: leat check passes", timeout, interval=0.05)

    def _check_passes(self):
        for program in (self.agent, self.proxy):
            if program:
                self._ended(program)
        done = self.leat("check", check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return True

    def _ended(self, program):
        if not program.alive:
            raise RuntimeError(f"{program.name} on {self.name} ended with {program.wait()}:\n{program.text()[-2000:]}")
        return False

    def leat(self, *words, check=True, timeout=20.0):
        """The command line, on this node."""
        return self.run([self.lab.binary("leat"), *words], check=check, timeout=timeout, environment={"LEAT_AGENT": str(self.api_socket)})

    def flows(self, *words):
        """`leat flows`, open and recently closed, as a list of records."""
        return [json.loads(line) for line in self.leat("flows", "--closed", "-o", "jsonl", *words).stdout.splitlines() if line.strip()]

    def ended_programs(self):
        """Those of Leat that should run and do not: a crash, where nobody ended them. (name, exit status)"""
        return [(program.name, program.wait()) for program in (self.agent, self.proxy) if program and not program.alive]

    def worker_pids(self):
        """Every process of the proxies of this node, supervisors included."""
        return self.proxy_cgroup.pids()

    def kill_proxies(self, number=signal.SIGKILL):
        for pid in self.worker_pids():
            os.kill(pid, number)
        wait_for(lambda: not self.worker_pids(), f"{self.name}: proxies are gone")
        if self.proxy:
            self.proxy.wait()

    def replace_proxy(self, timeout=30.0):
        """A graceful upgrade: the new one starts, is armed, then the old one drains and ends, and has never died before."""
        old, new = self.proxy, self.start_proxy()
        new.expect("armed", timeout)
        status = old.terminate(timeout)
        died = "worker process was ended" in old.text() or "worker process ended with" in old.text()
        assert status == 0 and not died, f"the proxy that was replaced ended with {status}:\n{old.text()[-2000:]}"
        return new
