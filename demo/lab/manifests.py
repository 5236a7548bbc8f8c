"""The folder of Kubernetes objects that the agents of a lab read, written as YAML a person would write, each file replaced at once."""
import json
import os
import re
from pathlib import Path

_PLAIN = re.compile(r"^[A-Za-z_/][A-Za-z0-9_./-]*$")
_WORDS_OF_YAML = {"true", "false", "null", "yes", "no", "on", "off", "y", "n", "~"}


class Manifests:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True)

    def write(self, name, *documents):
        """Writes NAME.yaml in one step (rename), so that no reader sees half of it. A document is a dict, or text to be taken as it is."""
        path = self.folder / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        hidden = path.with_name(f".{path.name}.new")
        hidden.write_text("---\n".join(document if isinstance(document, str) else to_yaml(document) for document in documents))
        os.rename(hidden, path)
        return path

    def remove(self, name):
        (self.folder / f"{name}.yaml").unlink()

    # ---------------------------------------------------------------- the objects that labs need

    def node(self, node):
        return self.write(f"node-{node.name}", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node.name}})

    def mesh(self, **spec):
        return self.write("mesh", {"apiVersion": "leat.dev/v1alpha1", "kind": "Mesh", "metadata": {"name": "default"}, "spec": spec})

    def namespace(self, name, enrolled):
        labels = {"kubernetes.io/metadata.name": name, **({"leat.dev/mesh": "enabled"} if enrolled else {})}
        return self.write(f"namespace-{name}", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})

    def pod(self, pod, labels=None, account=None, annotations=None, ready=True, container=None):
        """The object of a running pod of the lab."""
        spec = {"nodeName": pod.node.name, "serviceAccountName": account or pod.name,
                "containers": [{"name": "app", "image": "app", **(container or {})}]}
        status = {"phase": "Running", "podIP": pod.ipv4, "podIPs": [{"ip": address} for address in pod.addresses],
                  "conditions": [{"type": "Ready", "status": "True" if ready else "False"}]}
        return self.write(f"pod-{pod.namespace}-{pod.name}", {
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": f"{pod.namespace}-{pod.name}", "labels": labels or {},
                         "annotations": {"leat.dev/netns": str(pod.netns), **(annotations or {})}},
            "spec": spec, "status": status})

    def service(self, name, namespace, addresses, ports, selector, http=None, grpc=None):
        """`ports` maps a port's number to its target; `http` and `grpc` do for those whose names declare these."""
        listed = [{"name": f"{prefix}{port}", "port": port, "targetPort": target}
                  for prefix, mapped in (("p", ports), ("http-", http or {}), ("grpc-", grpc or {})) for port, target in mapped.items()]
        return self.write(f"service-{namespace}-{name}", {
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace},
            "spec": {"selector": selector, "clusterIP": addresses[0], "clusterIPs": list(addresses), "ports": listed}})

    def peer_authentication(self, name, namespace, mode, selector=None, ports=None):
        spec = {"mtls": {"mode": mode}}
        if selector:
            spec["selector"] = {"matchLabels": selector}
        if ports:
            spec["portLevelMtls"] = {str(port): {"mode": port_mode} for port, port_mode in ports.items()}
        return self.write(f"peerauthentication-{namespace}-{name}", {
            "apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": {"name": name, "namespace": namespace},
            "spec": spec})


def to_yaml(value, indent=0):
    """Block YAML of dicts, lists and scalars."""
    pad = "  " * indent
    if isinstance(value, dict):
        return "".join(f"{pad}{_scalar(key)}:{_inline_or_below(item, indent + 1)}" for key, item in value.items())
    return "".join(f"{pad}- {to_yaml(item, indent + 1).lstrip() if isinstance(item, dict) and item else _scalar(item) + chr(10)}"
                   for item in value)


def _inline_or_below(value, indent):
    if isinstance(value, (dict, list)) and value:
        return "\n" + to_yaml(value, indent)
    return f" {_scalar(value)}\n"


def _scalar(value):
    if isinstance(value, str) and _PLAIN.match(value) and value.lower() not in _WORDS_OF_YAML:
        return value
    return json.dumps(value)
