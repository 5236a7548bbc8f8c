"""Names, addresses and folders that everything here agrees about."""
import os
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
for folder in (REPOSITORY, REPOSITORY / "demo"):  # images.oci; lab.cgroup and lab.wait
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

CLUSTER = REPOSITORY / "tests" / "cluster"
CACHE = Path(os.environ.get("LEAT_CLUSTER_DIR") or "~/.cache/leat-cluster").expanduser().resolve()
TOOLS = CACHE / "tools"  # binaries, kept; tools.py
RUN = CACHE / "run"      # of the cluster that is up, gone after `down`
LOGS = CACHE / "log"     # of the last cluster; they outlive it
KUBECONFIG = RUN / "admin.kubeconfig"

HELD = Path("/run/held")  # inside a node: a server whose name is a file here stays down

CGROUP = "leat-cluster"  # of all nodes, in each hierarchy

SERVICES, API_SERVICE, DNS_SERVICE = "10.96.0.0/16", "10.96.0.1", "10.96.0.10"
PODS = "10.244.0.0/16"
NODES_PREFIX = 24


def node_name(number):
    return f"node{number}"


def node_address(number):
    return f"10.89.0.{10 + number}"


def node_pods(number):
    return f"10.244.{number}.0/24"


API_SERVER = f"https://{node_address(1)}:6443"
DOMAIN = "cluster.local"

PAUSE_IMAGE = "leat.dev/test/pause:1"
DNS_IMAGE = "leat.dev/test/coredns:1"
SHOP_IMAGE = "leat.dev/test/shop:1"  # the application of the tests
