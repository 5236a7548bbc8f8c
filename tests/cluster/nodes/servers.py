"""What runs on a node, with its settings: the command lines, and the files below /etc that they read."""
import json

from .layout import API_SERVICE, DNS_SERVICE, DOMAIN, PAUSE_IMAGE, PODS, SERVICES, node_address, node_name, node_pods
from .pki import Authority, private_pem, public_pem

from cryptography.hazmat.primitives.asymmetric import ec

KUBE = "/etc/kubernetes"
BIN = "/opt/cluster"  # the tools, as a node sees them
WAIT_FOR_API = ("kube-controller-manager", "kube-scheduler")  # these end where there is no API server yet


class Credentials:
    """What the cluster's servers know each other by."""

    def __init__(self):
        self.authority, self.front_proxy = Authority("leat-cluster"), Authority("leat-cluster-front-proxy")
        self.service_accounts = ec.generate_private_key(ec.SECP256R1())


# ---------------------------------------------------------------- command lines

def commands(number):
    """name -> command line of each server of this node, in the order in which they start."""
    node = {"containerd": ["containerd"],
            "kubelet": _flags("kubelet", config=f"{KUBE}/kubelet.json", kubeconfig=f"{KUBE}/kubelet.kubeconfig",
                              hostname_override=node_name(number), node_ip=node_address(number)),
            "kube-proxy": _flags("kube-proxy", config=f"{KUBE}/kube-proxy.json")}
    return {**_control_plane(), **node} if number == 1 else node


def _flags(server, **settings):
    return [f"{BIN}/{server}", *(f"--{name.replace('_', '-')}={value}" for name, value in settings.items())]


def _control_plane():
    keys = f"{KUBE}/pki"

    def controller(name, **settings):
        own = f"{KUBE}/{name}.kubeconfig"
        return _flags(name, kubeconfig=own, authentication_kubeconfig=own, authorization_kubeconfig=own, leader_elect="false", **settings)

    return {
        "etcd": _flags("etcd", name="node1", data_dir="/var/lib/etcd", unsafe_no_fsync="true", log_level="warn",
                       listen_client_urls="http://127.0.0.1:2379", advertise_client_urls="http://127.0.0.1:2379",
                       listen_peer_urls="http://127.0.0.1:2380", initial_advertise_peer_urls="http://127.0.0.1:2380",
                       initial_cluster="node1=http://127.0.0.1:2380"),
        "kube-apiserver": _flags(
            "kube-apiserver", etcd_servers="http://127.0.0.1:2379", advertise_address=node_address(1), allow_privileged="true",
            service_cluster_ip_range=SERVICES, authorization_mode="Node,RBAC", enable_admission_plugins="NodeRestriction",
            client_ca_file=f"{keys}/ca.crt", tls_cert_file=f"{keys}/apiserver.crt", tls_private_key_file=f"{keys}/apiserver.key",
            kubelet_certificate_authority=f"{keys}/ca.crt", kubelet_preferred_address_types="InternalIP",
            kubelet_client_certificate=f"{keys}/apiserver-kubelet.crt", kubelet_client_key=f"{keys}/apiserver-kubelet.key",
            requestheader_client_ca_file=f"{keys}/front-ca.crt", requestheader_allowed_names="front-proxy",
            requestheader_username_headers="X-Remote-User", requestheader_group_headers="X-Remote-Group",
            requestheader_extra_headers_prefix="X-Remote-Extra-",
            proxy_client_cert_file=f"{keys}/front-proxy.crt", proxy_client_key_file=f"{keys}/front-proxy.key",
            service_account_issuer=f"https://kubernetes.default.svc.{DOMAIN}",
            service_account_key_file=f"{keys}/sa.pub", service_account_signing_key_file=f"{keys}/sa.key"),
        "kube-controller-manager": controller(
            "kube-controller-manager", use_service_account_credentials="true", root_ca_file=f"{keys}/ca.crt",
            service_account_private_key_file=f"{keys}/sa.key", cluster_signing_cert_file=f"{keys}/ca.crt",
            cluster_signing_key_file=f"{keys}/ca.key", flex_volume_plugin_dir="/var/lib/kubelet/volume-plugins",
            allocate_node_cidrs="false"),  # the Node objects name their own, so that they and the CNI configuration agree
        "kube-scheduler": controller("kube-scheduler"),
    }


# ---------------------------------------------------------------- files

CONTAINERD = f"""\
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true  # lowering one needs CAP_SYS_RESOURCE, which a container that runs this need not have
  disable_apparmor = true
  tolerate_missing_hugetlb_controller = true
"""

NETWORK = "10-cluster.conflist"


def files(number, count, credentials):
    """path below / -> bytes, of everything that the node's servers read."""
    name, address, authority = node_name(number), node_address(number), credentials.authority
    certificate, key = authority.issue(f"system:node:{name}", "system:nodes", [name, address])
    made = {
        "etc/hostname": f"{name}\n".encode(),
        "etc/resolv.conf": b"",  # nothing outside the cluster is asked
        "etc/hosts": "".join(["127.0.0.1 localhost\n::1 localhost\n",
                              *(f"{node_address(n)} {node_name(n)}\n" for n in range(1, count + 1))]).encode(),
        "etc/containerd/config.toml": CONTAINERD.encode(),
        f"etc/cni/net.d/{NETWORK}": _json(_network(number)),
        "etc/kubernetes/kubelet.json": _json(_kubelet(name)),
        "etc/kubernetes/kubelet.kubeconfig": authority.kubeconfig(f"system:node:{name}", "system:nodes"),
        "etc/kubernetes/kube-proxy.json": _json(_kube_proxy(name)),
        "etc/kubernetes/kube-proxy.kubeconfig": authority.kubeconfig("system:kube-proxy"),
        "etc/kubernetes/pki/ca.crt": authority.certificate,
        "etc/kubernetes/pki/kubelet.crt": certificate,
        "etc/kubernetes/pki/kubelet.key": key,
    }
    return {**made, **_control_plane_files(credentials)} if number == 1 else made


def _json(value):
    return json.dumps(value, indent=1).encode()


def _network(number):
    """A routed veth a pod: pods of one node meet kube-proxy's rules without a bridge in between."""
    return {"cniVersion": "1.0.0", "name": "cluster", "plugins": [{
        "type": "ptp", "mtu": 1500, "ipam": {"type": "host-local", "dataDir": "/run/cni-ipam", "ranges": [[{"subnet": node_pods(number)}]],
                                             "routes": [{"dst": "0.0.0.0/0"}]}}]}


def _kubelet(name):
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "authentication": {"x509": {"clientCAFile": f"{KUBE}/pki/ca.crt"}, "webhook": {"enabled": True}, "anonymous": {"enabled": False}},
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{KUBE}/pki/kubelet.crt", "tlsPrivateKeyFile": f"{KUBE}/pki/kubelet.key",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock", "cgroupDriver": "cgroupfs",
        "clusterDomain": DOMAIN, "clusterDNS": [DNS_SERVICE], "resolvConf": "/etc/resolv.conf",
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
        "failCgroupV1": False,  # hybrid hierarchies are v1 to the kubelet
        "failSwapOn": False, "makeIPTablesUtilChains": False, "serializeImagePulls": False,
        # Disk and memory are the machine's, shared with everything else on it: no pod goes for their sake.
        "evictionHard": dict.fromkeys(("memory.available", "nodefs.available", "nodefs.inodesFree", "imagefs.available"), "0%"),
        "imageGCHighThresholdPercent": 100,
    }


def _kube_proxy(name):
    return {"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "mode": "nftables", "clusterCIDR": PODS,
            "hostnameOverride": name, "clientConnection": {"kubeconfig": f"{KUBE}/kube-proxy.kubeconfig"},
            # These would be the machine's limits, not the node's.
            "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"}}


def _control_plane_files(credentials):
    authority, front = credentials.authority, credentials.front_proxy
    made = {"ca.key": authority.key, "front-ca.crt": front.certificate,
            "sa.key": private_pem(credentials.service_accounts), "sa.pub": public_pem(credentials.service_accounts)}
    names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", f"kubernetes.default.svc.{DOMAIN}", "localhost",
             API_SERVICE, node_address(1), "127.0.0.1"]
    for file, (certificate, key) in {
        "apiserver": authority.issue("kube-apiserver", names=names),
        "apiserver-kubelet": authority.issue("kube-apiserver", "system:masters"),
        "front-proxy": front.issue("front-proxy"),
    }.items():
        made |= {f"{file}.crt": certificate, f"{file}.key": key}
    made = {f"etc/kubernetes/pki/{file}": content for file, content in made.items()}
    for server in WAIT_FOR_API:
        made[f"etc/kubernetes/{server}.kubeconfig"] = authority.kubeconfig(f"system:{server}")
    return made
