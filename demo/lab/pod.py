"""A pod: a network namespace on its node's bridge, a private /etc/hosts with the services' names, and a cgroup."""
import os

from . import kernel
from .place import Place, hold


class Pod(Place):
    def __init__(self, node, name, namespace, number, ipv6=True):
        self.node = node
        self.namespace = namespace
        self.ipv4 = f"10.{node.number}.0.{number}"
        self.ipv6 = f"fd00:{node.number}::{number:x}" if ipv6 else None
        self.netns = node.netns_folder / f"{namespace}-{name}"
        cgroup = node.pods_cgroup.child(f"{namespace}-{name}")
        self._pause = hold(name, lambda: self._make_namespaces(node, cgroup))
        super().__init__(name, self._pause.pid, cgroup, node.logs)
        self._connect(number)

    @property
    def addresses(self):
        return [self.ipv4] + ([self.ipv6] if self.ipv6 else [])

    def _make_namespaces(self, node, cgroup):
        """In the child. The namespace is bound to a file in the node's mounts, where the agent enters it, as a container runtime does;
        the pod's own mounts let go of that folder, or each pod would keep its neighbours' namespaces alive."""
        cgroup.join()
        kernel.enter(node.holder, kernel.CLONE_NEWNS)
        kernel.unshare(kernel.CLONE_NEWNET)
        self.netns.touch()
        kernel.bind("/proc/self/ns/net", str(self.netns))
        kernel.unshare(kernel.CLONE_NEWNS)
        kernel.make_mounts_private()
        kernel.detach(str(node.netns_folder))
        kernel.bind(str(node.lab.hosts), "/etc/hosts")

    def _connect(self, number):
        """Addresses are /32 and /128 and everything goes through the node, as with many CNIs: so the stand-in for kube-proxy sees both
        ways of a connection between neighbours. The bridge below still lets a hostile pod reach its neighbour's link layer."""
        port = f"pod{number}"
        self.node.ip(f"link add {port} type veth peer name eth0 netns {self.holder}",
                     f"link set {port} master pods up")
        self.sysctl(ipv4__conf__all__accept_redirects=0, ipv6__conf__eth0__accept_redirects=0)
        gateway4, gateway6 = self.node.gateway4, self.node.gateway6
        self.ip("link set lo up", "link set eth0 up",
                f"addr add {self.ipv4}/32 dev eth0",
                f"route add {gateway4} dev eth0 scope link src {self.ipv4}", f"route add default via {gateway4} dev eth0 src {self.ipv4}")
        if self.ipv6:
            self.ip(f"addr add {self.ipv6}/128 dev eth0 nodad",
                    f"route add {gateway6} dev eth0", f"route add ::/0 via {gateway6} dev eth0 src {self.ipv6}")
        self.node.ip(f"route add {self.ipv4}/32 dev pods", *([f"route add {self.ipv6}/128 dev pods"] if self.ipv6 else []))

    def delete(self):
        """As the container runtime does it: programs end, then the namespace goes."""
        self.cgroup.destroy()
        self._pause.wait()
        self.node.release(self)
        self.node.run(["umount", "--lazy", str(self.netns)])  # as runtimes do: an agent may look at it just now
        os.unlink(f"/proc/{self.node.holder}/root{self.netns}")
