"""A real Kubernetes on one machine: several nodes, each in namespaces of its own. Needs root and a cgroup2 hierarchy; no Docker.

A node is one tree of processes with its own mount, network, PID, cgroup, UTS and IPC namespaces. Its files are an overlay over the machine's,
whose upper layer is memory; its network is a veth to node 1, which has the bridge. So the machine's own network and files never change, and
ending a node is: kill its cgroup, remove its cgroup. Inside a node every path is where a real one has it (/etc/cni/net.d, /opt/cni/bin,
/run/netns, /var/lib/kubelet, /sys/fs/bpf), so that a chart's hostPaths fit.

Reading order: layout.py (names, addresses, folders), cluster.py (up, down, load), node.py (one node, from outside), inside.py (its process 1),
servers.py (what runs on it, and its settings), pki.py, tools.py (where the binaries come from)."""
