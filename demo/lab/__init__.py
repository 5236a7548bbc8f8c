"""One machine, several nodes: the topology under the demo, the end-to-end tests and the benchmark.

A node is a network namespace, a mount namespace and a cgroup; a pod is the same inside a node. Nodes are joined by wires (veth pairs), and
nothing of the host's own network is touched. Everything that a lab starts lives in one cgroup and one folder named after it, so that
ending a lab, or sweeping up after one whose owner died, is: kill that cgroup, remove that folder. Needs root; standard library only.

    with Lab() as lab:
        a, b = lab.add_node("node-a"), lab.add_node("node-b")
        client = a.add_pod("client", namespace="shop")
        client.run(["curl", "-s", "http://backend:8080/"])

Reading order: lab.py, node.py, pod.py, then what they stand on.
"""
from .kernel import network_namespace
from .lab import Lab
from .manifests import Manifests
from .node import LeatMissing, Node
from .pod import Pod
from .process import Process, ProgramFailed
from .remote import Task
from .wait import TimedOut, wait_for
from .wire import Wire

__all__ = ["Lab", "LeatMissing", "Manifests", "Node", "Pod", "Process", "ProgramFailed", "Task", "TimedOut", "Wire", "network_namespace", "wait_for"]
