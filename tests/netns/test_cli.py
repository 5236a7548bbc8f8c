"""The command line, as people and scripts use it."""
import json

import pytest

from mesh import asks_leat, flows
from shop import BACKEND_PORT

pytestmark = asks_leat


@pytest.mark.parametrize("what", [["flows", "--closed"], ["pods"], ["services"], ["certs"], ["check"], ["metrics"]], ids=lambda words: words[0])
def test_every_table_has_the_same_facts_as_json(shop, what):
    shop.ask(3)
    assert shop.a.leat(*what, check=False).stdout.strip()
    assert json.loads(shop.a.leat(*what, "-o", "json", check=False).stdout)


def test_version_names_every_program_and_the_kernel(shop):
    said = shop.a.leat("version").stdout
    assert all(word in said for word in ("leat", "agent", "proxy", "kernel"))


def test_pods_lists_who_is_enrolled_and_who_is_not(shop):
    pods = {pod["name"]: pod["enrolment"] for pod in json.loads(shop.b.leat("pods", "-o", "json").stdout)}
    assert pods["backend-v1-2"] == "enrolled"
    assert pods.get("visitor", "not enrolled") == "not enrolled"


def test_certs_shows_one_valid_certificate_for_each_local_identity(shop):
    certificates = json.loads(shop.a.leat("certs", "-o", "json").stdout)
    assert {certificate["identity"] for certificate in certificates} == {
        "spiffe://cluster.local/ns/shop/sa/frontend", "spiffe://cluster.local/ns/shop/sa/backend"}
    assert {certificate["state"] for certificate in certificates} == {"valid"}


def test_flows_shows_both_sides_of_a_tunnel_with_the_same_counts(shop, far):
    shop.ask(1, url=f"http://{far.ipv4}:{BACKEND_PORT}/one-of-a-kind")
    out = flows(shop.a, path="hbone", direction="outbound", destinationPod=far.name, verdict="ok")[-1]
    into = flows(shop.b, path="hbone", direction="inbound", sourcePod="frontend", verdict="ok")[-1]
    assert (out["bytesSent"], out["bytesReceived"]) == (into["bytesSent"], into["bytesReceived"])
    assert out["bytesSent"] > 0 and out["bytesReceived"] > 0


def test_flows_can_be_narrowed_to_a_namespace_and_a_pod(shop):
    shop.ask(3)
    assert shop.a.flows("-n", "shop") and shop.a.flows("--pod", "frontend")
    assert shop.a.flows("-n", "no-such-namespace") == []


def test_check_passes_on_a_healthy_node(shop):
    assert shop.a.leat("check").returncode == 0


def test_without_an_agent_the_exit_status_is_3_and_the_message_names_the_socket(shop):
    done = shop.a.run([shop.lab.binary("leat"), "--agent", "/nowhere/api.sock", "flows"], check=False)
    assert done.returncode == 3 and "/nowhere/api.sock" in done.stderr


def test_wrong_usage_is_exit_status_2(shop):
    assert shop.a.leat("flows", "--no-such-option", check=False).returncode == 2


def test_lint_names_file_line_object_and_field(shop, tmp_path):
    bad = tmp_path / "pod.yaml"
    bad.write_text("apiVersion: v1\nkind: Service\nmetadata:\n  name: web\nspec:\n  selector: {app: web}\n  prots: []\n")
    done = shop.a.leat("lint", str(bad), check=False)
    assert "pod.yaml:7" in done.stdout and "prots" in done.stdout and "web" in done.stdout
