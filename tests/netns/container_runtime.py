"""A stand-in for a container runtime: it runs leat-cni for a pod of the lab as containerd would, after the plugin that gave it its network."""
import contextlib
import json
import secrets
import subprocess
from dataclasses import dataclass, field

from lab import process

VERSIONS = ["0.3.1", "0.4.0", "1.0.0", "1.1.0"]


@dataclass
class Container:
    """The sandbox of a pod."""
    pod: str
    namespace: str
    netns: str
    addresses: list
    uid: str = ""
    id: str = field(default_factory=lambda: secrets.token_hex(32))


@dataclass
class Answer:
    status: int
    out: str
    log: str

    @property
    def error(self):
        assert self.status != 0, self.out
        return json.loads(self.out)


class Runtime:
    def __init__(self, node, wait_ms=8000, version="1.0.0", **entry):
        self.node = node
        self.entry = {"cniVersion": version, "name": "pods", "type": "leat-cni", "state": str(node.state), "ownNamespace": "leat-system",
                      "waitMs": wait_ms, **entry}

    def container(self, pod, uid=None):
        return Container(pod.name, pod.namespace, str(pod.netns), pod.addresses, uid or f"{pod.namespace}-{pod.name}")

    def previous(self, container):
        """What bridge and the like say, with a key that nobody knows."""
        version = self.entry["cniVersion"]
        ips = [{"address": f"{address}/{'64' if ':' in address else '24'}", "interface": 1} for address in container.addresses]
        if version.startswith("0."):
            ips = [{"version": "6" if ":" in ip["address"] else "4", **ip} for ip in ips]
        return {"x-vendor": {"n": 18446744073709551616}, "cniVersion": version,
                "interfaces": [{"name": "veth1"}, {"name": "eth0", "sandbox": container.netns}], "ips": ips, "dns": {}}

    def start(self, command, container=None, **more):
        """The plugin as a process that was given everything; .communicate() through finish()."""
        config = dict(self.entry, **more)
        variables = {"CNI_COMMAND": command, "CNI_PATH": "/opt/cni/bin"}
        if container:
            config["prevResult"] = self.previous(container)
            arguments = {"IgnoreUnknown": "1", "K8S_POD_INFRA_CONTAINER_ID": container.id, "K8S_POD_UID": container.uid,
                         "K8S_POD_NAME": container.pod, "K8S_POD_NAMESPACE": container.namespace}
            variables |= {"CNI_CONTAINERID": container.id, "CNI_NETNS": container.netns, "CNI_IFNAME": "eth0",
                          "CNI_ARGS": ";".join(f"{key}={value}" for key, value in arguments.items())}
        child = subprocess.Popen([str(self.node.lab.binary("leat-cni"))], preexec_fn=self.node.enter, env=variables, text=True,
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        with contextlib.suppress(BrokenPipeError):  # VERSION needs no configuration, and may have ended
            child.stdin.write(json.dumps(config))
            child.stdin.close()
        child.stdin = None
        return child

    @staticmethod
    def finish(child, timeout=40):
        out, log = child.communicate(timeout=timeout)
        return Answer(child.returncode, out, log)

    def run(self, command, container=None, **more):
        return self.finish(self.start(command, container, **more))

    def add(self, container):
        answer = self.run("ADD", container)
        if answer.status != 0:
            raise process.ProgramFailed(answer.out)
        return answer
