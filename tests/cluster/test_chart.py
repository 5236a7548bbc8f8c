"""The chart as Helm and the API server see it, before anything runs."""
import json
import subprocess

import pytest
import yaml

from nodes import cluster
from nodes.layout import REPOSITORY

CHART = str(REPOSITORY / "charts" / "leat")


def render(kube, *options):
    return kube.helm("template", "leat", CHART, "-n", "leat-system", *options)


def objects(kube, *options):
    return {(found["kind"], found["metadata"]["name"]): found for found in yaml.safe_load_all(render(kube, *options)) if found}


def test_lint_has_nothing_to_say(kube):
    kube.helm("lint", "--strict", CHART)


@pytest.mark.parametrize("options", [
    [], ["--set", "platform=k3s"], ["--set", "platform=openshift"], ["--set", "platform=microk8s"],
    ["--set", "proxy.seccomp=unconfined", "--set", "proxy.backend=epoll"], ["--set", "proxy.seccomp=default"],
    ["--set", "cgroups.pods=/sys/fs/cgroup/pods", "--set", "kubernetes.servers={https://10.0.0.1:6443,https://10.0.0.2:6443}"],
    ["--set", "ca.enabled=false", "--set", "cni.enabled=false"], ["--set", "ca.issuerSecret=issuer", "--set", "cni.install=own-file"],
    ["--set", "ca.external.address=istiod.istio-system.svc:15012"],
    ["--set", "image.tag=1.2.3", "--set", "image.pullSecrets={one,two}", "--set", "podLabels.team=net", "--set", "networkPolicy.enabled=false"],
    ["--set", "metrics.dashboards.enabled=true", "--set", "metrics.from[0].podSelector.matchLabels.app=prometheus"],
    ["--set", "metrics.enabled=false", "--set", "ambientLabel=true"],
], ids=lambda options: " ".join(options) or "defaults")
def test_the_api_server_takes_every_object(kube, options):
    kube.kubectl("apply", "-f", "-", input="apiVersion: v1\nkind: Namespace\nmetadata: {name: leat-system}\n")
    answer = kube.kubectl("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-", input=render(kube, "--no-hooks", *options))
    assert "daemonset.apps/leat-agent" in answer and "daemonset.apps/leat-proxy" in answer


@pytest.mark.parametrize("option", ["proxy.usr=1", "proxy.user=0", "proxy.workers=100", "platform=moon", "paths.state=relative", "logLevel=loud", "ca.lifetime=long",
                                    "ca.external.address=nowhere", "cni.waitMs=1", "metrics.port=80", "metrics.address=localhost", "metrics.podMonitor.interval=often"])
def test_a_value_that_is_unknown_or_wrong_is_refused(kube, option):
    with pytest.raises(RuntimeError, match="additional propert|minimum|maximum|must be one of|does not match pattern"):
        render(kube, "--set", option)


def test_the_proxy_has_no_privilege_and_no_token(kube):
    pod = objects(kube)["DaemonSet", "leat-proxy"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["automountServiceAccountToken"] is False and "hostNetwork" not in pod and "hostPID" not in pod
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["seccompProfile"]["type"] == "Localhost"
    assert container["securityContext"] == {"readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert [mount["readOnly"] for mount in container["volumeMounts"]] == [True]


def test_the_authority_has_no_privilege_and_reads_no_secret_but_its_own(kube):
    found = objects(kube)
    pod = found["Deployment", "leat-ca"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] and "hostNetwork" not in pod
    assert pod["containers"][0]["securityContext"] == {"readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    rules = found["Role", "leat-ca"]["rules"]
    assert all(rule.get("resourceNames") or rule["verbs"] == ["create"] for rule in rules)
    assert not any("secrets" in rule["resources"] for rule in found["ClusterRole", "leat-ca"]["rules"])


def test_the_agent_has_what_it_uses_and_nothing_more(kube):
    pod = objects(kube)["DaemonSet", "leat-agent"]["spec"]["template"]["spec"]
    security = pod["containers"][0]["securityContext"]
    assert "privileged" not in security and security["readOnlyRootFilesystem"]
    assert security["capabilities"] == {"drop": ["ALL"], "add": ["BPF", "PERFMON", "NET_ADMIN", "SYS_ADMIN", "KILL", "CHOWN", "SETPCAP"]}


def test_the_agent_writes_what_it_tells_and_nothing_more(kube):
    found = objects(kube)
    writes = {(group, resource): set(rule["verbs"]) - {"list", "watch"} for rule in found["ClusterRole", "leat-agent"]["rules"]
              for group in rule["apiGroups"] for resource in rule["resources"] if set(rule["verbs"]) - {"list", "watch"}}
    assert writes == {("leat.dev", "nodeworkloads"): {"create", "patch", "delete"}, ("events.k8s.io", "events"): {"get", "create", "patch"},
                      ("gateway.networking.k8s.io", "httproutes/status"): {"patch"}, ("gateway.networking.k8s.io", "grpcroutes/status"): {"patch"}}
    own = found["Role", "leat-agent"]["rules"]
    assert all(rule.get("resourceNames") == ["leat-agent"] or rule["verbs"] == ["create"] for rule in own)
    assert found["Role", "leat-agent"]["metadata"]["namespace"] == "leat-system"


def test_prometheus_reaches_the_metrics_and_nothing_else_reaches_the_proxy(kube):
    found = objects(kube, "--set", "metrics.port=9102", "--set", "metrics.from[0].podSelector.matchLabels.app=prometheus")
    template = found["DaemonSet", "leat-proxy"]["spec"]["template"]
    (container,) = template["spec"]["containers"]
    assert container["args"][-2:] == ["--metrics", "0.0.0.0:9102"]
    assert container["ports"] == [{"name": "metrics", "containerPort": 9102, "protocol": "TCP"}]
    assert template["metadata"]["annotations"]["prometheus.io/port"] == "9102"
    policy = found["NetworkPolicy", "leat-proxy"]["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"] and "egress" not in policy
    assert policy["ingress"] == [{"ports": [{"port": 9102, "protocol": "TCP"}], "from": [{"podSelector": {"matchLabels": {"app": "prometheus"}}}]}]
    off = objects(kube, "--set", "metrics.enabled=false")
    assert "--metrics" not in off["DaemonSet", "leat-proxy"]["spec"]["template"]["spec"]["containers"][0]["args"]
    assert "ingress" not in off["NetworkPolicy", "leat-proxy"]["spec"]


def test_a_pod_monitor_is_made_where_the_kind_is_or_a_value_says_so(kube):
    wanted = ["--set", "metrics.podMonitor.enabled=true", "--set", "metrics.podMonitor.labels.release=stack"]
    assert ("PodMonitor", "leat-proxy") not in objects(kube)
    assert ("PodMonitor", "leat-proxy") not in objects(kube, *wanted)
    for more in (["--set", "metrics.podMonitor.force=true"], ["--api-versions", "monitoring.coreos.com/v1/PodMonitor"]):
        found = objects(kube, *wanted, *more)
        monitor, pods = found["PodMonitor", "leat-proxy"], found["DaemonSet", "leat-proxy"]["spec"]["template"]
        assert monitor["metadata"]["labels"]["release"] == "stack"
        assert monitor["spec"]["selector"]["matchLabels"].items() <= pods["metadata"]["labels"].items()
        assert monitor["spec"]["podMetricsEndpoints"][0]["port"] == pods["spec"]["containers"][0]["ports"][0]["name"]


def test_the_dashboard_comes_whole_where_a_value_says_so(kube):
    assert ("ConfigMap", "leat-dashboards") not in objects(kube)
    found = objects(kube, "--set", "metrics.dashboards.enabled=true", "--set", "metrics.dashboards.namespace=monitoring")["ConfigMap", "leat-dashboards"]
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1" and found["metadata"]["namespace"] == "monitoring"
    assert json.loads(found["data"]["leat.json"]) == json.loads((REPOSITORY / "charts/leat/files/dashboards/leat.json").read_text())


def test_every_value_stands_in_the_readme_with_its_default(kube):
    def leaves(values, path=()):
        for name, value in values.items():
            if isinstance(value, dict) and value:
                yield from leaves(value, (*path, name))
            else:
                yield ".".join((*path, name))
    values = yaml.safe_load((REPOSITORY / "charts/leat/values.yaml").read_text())
    readme = (REPOSITORY / "charts/leat/README.md").read_text()
    missing = [path for path in leaves(values) if not any(f"`{part}`" in readme for part in prefixes(path))]
    assert not missing


def prefixes(path):
    words = path.split(".")
    return [".".join(words[:count]) for count in range(len(words), 1, -1)] + [path]
