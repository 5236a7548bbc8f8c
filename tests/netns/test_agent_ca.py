"""The agents with a CA of the cluster: leat-ca, and somebody else's."""
import contextlib
import json
import subprocess
import threading

import pytest

from ca_lab import AGENT, BACKEND, SYSTEM, Authority, agent_pod, cluster_lab, lone_authority
from ca_programs import serve_foreign_ca
from lab import wait_for
from mesh import PLAIN, REPOSITORY, flows
from test_kubernetes_source import wait_until_known

pytestmark = pytest.mark.skipif(PLAIN, reason="asks Leat, and LEAT_PLAIN is set")


def agent_config(shop, node, address, roots):
    """What the chart would write: the API server, and the CA with a token of the agent's own pod."""
    token = shop.api.state / f"token-{node.name}"
    token.write_text(shop.api.do("issue", account=AGENT, pod=agent_pod(shop, node), node=node.name))
    return {**shop.api.config(node), "ca": None, "certificate_authority": {"address": address, "root": str(roots), "token": str(token)}}


def start_agents(shop, address, roots, ready=True):
    shop.lab.objects.namespace(SYSTEM, enrolled=False)
    for node in shop.lab.nodes:
        node.start_leat(**agent_config(shop, node, address, roots))
    if ready:
        for node in shop.lab.nodes:
            node.wait_ready(30)
        shop.enrol()
        wait_until_known(shop)


@contextlib.contextmanager
def running_with_ca(*options, **mesh):
    with cluster_lab() as shop:
        if mesh:
            shop.lab.objects.mesh(**mesh)
        shop.ca = Authority(shop, 0, *options)
        wait_for(lambda: shop.ca.roots_file.exists(), "the roots are published")
        start_agents(shop, shop.ca.address, shop.ca.roots_file)
        yield shop


@pytest.fixture(scope="module")
def cluster():
    with running_with_ca() as shop:
        yield shop


def certificates(node):
    return json.loads(node.leat("certs", "-o", "json").stdout)


def test_the_nodes_talk_by_certificates_of_leat_ca_and_each_is_a_line_of_audit(cluster):
    assert not cluster.ask(60)["failed"]
    flow = flows(cluster.a, path="hbone", sourcePod="frontend")[0]
    assert flow["peerIdentity"] == BACKEND
    for node in cluster.lab.nodes:
        issued = cluster.ca.said("audit: issued", f"node={node.name}", f"agent={AGENT}", f"pod=leat-agent-{node.name}")
        assert {certificate["identity"] for certificate in certificates(node)} == {
            next(word for word in line.split() if word.startswith("identity=")).removeprefix("identity=") for line in issued}
    assert cluster.ca.status("healthz") == cluster.ca.status("readyz") == "ok\n"


# ---------------------------------------------------------------- the agent alone, with a stand-in for a proxy

class LoneAgent:
    """One agent of a lab, whose pods are enrolled and whose proxy is ca_proxy.py."""

    def __init__(self, shop, address, roots):
        self.node = shop.b
        shop.lab.objects.namespace(SYSTEM, enrolled=False)
        shop.lab.objects.namespace("shop", enrolled=True)
        self.node.start_agent(**agent_config(shop, self.node, address, roots))
        wait_for(lambda: self.node.api_socket.exists(), "the agent listens")

    def ask(self, identity=BACKEND, instance="stand-in"):
        command = ["/usr/bin/python3", str(REPOSITORY / "tests" / "netns" / "ca_proxy.py"), str(self.node.proxy_socket), instance, identity]
        done = subprocess.run(command, user=self.node.proxy_uid, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def served(self):
        """Asks until its pods are known and the answer is so."""
        def asked():
            answer = self.ask()
            return answer if not answer["error"] else None
        return wait_for(asked, "a certificate is brought", 30)


def test_an_agent_carries_a_request_to_leat_ca_and_the_chain_and_the_roots_back():
    with lone_authority() as shop:
        agent = LoneAgent(shop, shop.ca.address, shop.ca.roots_file)
        answer = agent.served()
        assert answer["names"] == [BACKEND] and len(answer["chain"]) == 1 and answer["roots"] == 1
        assert shop.ca.said("audit: issued", f"identity={BACKEND}", "node=node-b", "pod=leat-agent-node-b")
        foreign = agent.ask("spiffe://cluster.local/ns/shop/sa/frontend")  # runs on node-a: the agent itself says no
        assert "no captured pod of this node has the identity" in foreign["error"]


def test_what_leat_ca_refuses_is_told_in_its_words_and_by_check_with_the_place_of_its_log():
    with lone_authority() as shop:
        agent = LoneAgent(shop, shop.ca.address, shop.ca.roots_file)
        agent.served()
        shop.lab.objects.remove("pod-leat-agent-node-b")
        wait_for(lambda: "is not found on node-b" in agent.ask()["error"], "the agent's pod is gone", 30)
        assert agent.ask()["error"].startswith(f"CA {shop.ca.address} answered: the agent's pod leat-system/leat-agent-node-b is not found")
        checked = agent.node.leat("check", check=False).stdout
        assert f"CA {shop.ca.address} answered:" in checked and f"cure: see the log of the CA at {shop.ca.address}" in checked


def test_roots_that_are_replaced_reach_proxies_and_a_ca_that_is_away_is_said_at_once():
    with lone_authority() as shop:
        agent = LoneAgent(shop, shop.ca.address, shop.ca.roots_file)
        agent.served()
        shop.api.do("annotate", plural="secrets", namespace=SYSTEM, name="leat-ca-root", key="leat.dev/rotate", value="drill")
        wait_for(lambda: agent.ask()["roots"] == 2, "the agent tells of both roots", 20)
        shop.ca.program.kill()
        assert "can't be asked" in agent.ask()["error"]
        shop.ca.start()
        assert agent.served()["names"] == [BACKEND]


def test_a_token_that_ran_out_is_read_again_before_the_request_fails():
    with lone_authority() as shop:
        agent = LoneAgent(shop, shop.ca.address, shop.ca.roots_file)
        agent.served()
        token = shop.api.state / "token-node-b"
        shop.api.do("forget", token=token.read_text())
        token.write_text(shop.api.do("issue", account=AGENT, pod="leat-agent-node-b", node="node-b"))
        errors = []

        def refused():
            errors.append(agent.ask()["error"])
            return shop.ca.said("refused", "outcome=unauthenticated")
        wait_for(refused, "the old one is no longer remembered as good", 60, interval=0.5)
        assert not any(errors)


def test_an_agent_takes_the_intermediates_of_a_foreign_ca():
    with cluster_lab() as shop:
        foreign, address, roots = with_foreign_ca(shop, trusts_agents=True)
        answer = LoneAgent(shop, address, roots).served()
        assert answer["names"] == [BACKEND] and answer["chain"] == ["O=foreign issuer", "O=foreign root"]
        assert foreign.hear() == f"asked for {BACKEND} with Bearer"


# ---------------------------------------------------------------- away, and replaced

def test_a_ca_that_is_away_past_half_life_is_named_with_its_cure_and_traffic_goes_on():
    with running_with_ca(certificateLifetime="40s") as shop:
        serials = {certificate["serial"] for certificate in certificates(shop.a)}
        shop.ca.program.kill()
        failing = wait_for(lambda: [one for one in certificates(shop.a) if one["lastError"]], "a renewal has failed", 40)
        assert "can't be asked" in failing[0]["lastError"] and failing[0]["state"] == "valid"
        assert not shop.ask(30)["failed"]
        checked = shop.a.leat("check", check=False)
        assert checked.returncode == 0 and f"CA {shop.ca.address} can't be asked" in checked.stdout and "cure:" in checked.stdout
        shop.ca.start()
        wait_for(lambda: not serials & {one["serial"] for one in certificates(shop.a) if one["state"] == "valid"},
                 "every certificate is another one", 60)
        assert not shop.ask(30)["failed"]


def roots(ca):
    """Those that are published, in whatever order: the one that signs comes first."""
    return frozenset(root.strip() for root in ca.roots_file.read_text().split("-----END CERTIFICATE-----") if root.strip())


def test_a_root_is_replaced_under_load_and_no_request_fails():
    options = ("--lifetime", "20s", "--rotate-distribute", "6s", "--rotate-retire", "22s")
    with running_with_ca(*options, certificateLifetime="20s") as shop:
        first, results, done = roots(shop.ca), [], threading.Event()

        def load():
            while not done.is_set():
                results.append(shop.ask(100, each=1))
        callers = threading.Thread(target=load)
        callers.start()
        try:
            shop.api.do("annotate", plural="secrets", namespace=SYSTEM, name="leat-ca-root", key="leat.dev/rotate", value="drill")
            trusted = set()
            for number, phase in enumerate(("a new root is made", "the new root signs", "the rotation is complete")):
                wait_for(lambda phase=phase: shop.ca.said("rotation:", phase), phase, 60)
                wait_for(lambda number=number: shop.ca.roots_file.read_text().count("BEGIN") == (2, 2, 1)[number], "it is published")
                trusted.add(roots(shop.ca))
                # A pod that is new makes tunnels that are new, with what each side trusts and shows now.
                with shop.another_pod(shop.b, f"caller-{number}", account="frontend") as caller:
                    assert not shop.ask(40, caller=caller)["failed"]
        finally:
            done.set()
            callers.join()
        asked = sum(sum(result["pods"].values()) for result in results)
        assert asked > 100 and not [result["failed"] for result in results if result["failed"]]
        assert first not in trusted and len(trusted) == 2  # both roots, while one follows the other; then the new one


# ---------------------------------------------------------------- somebody else's CA

def with_foreign_ca(shop, trusts_agents):
    address = f"{shop.a.gateway4}:15012"
    foreign = shop.a.spawn(serve_foreign_ca, address, shop.a.gateway4, shop.api.state, trusts_agents)
    assert foreign.hear(30) == "listening"
    return foreign, address, shop.api.state / "foreign-root.pem"


def test_the_agents_take_certificates_of_a_foreign_ca_with_an_intermediate():
    with cluster_lab() as shop:
        foreign, address, roots = with_foreign_ca(shop, trusts_agents=True)
        start_agents(shop, address, roots)
        assert not shop.ask(60)["failed"]
        assert flows(shop.a, path="hbone", sourcePod="frontend")[0]["peerIdentity"] == BACKEND
        assert foreign.hear().endswith("with Bearer")


def test_a_ca_that_signs_for_the_agent_itself_is_found_out():
    with cluster_lab() as shop:
        _, address, roots = with_foreign_ca(shop, trusts_agents=False)
        shop.lab.objects.namespace("shop", enrolled=True)
        start_agents(shop, address, roots, ready=False)
        refused = wait_for(lambda: [one for one in certificates(shop.a) if one["lastError"]], "it says so", 30)
        assert refused[0]["state"] == "pending" and "which nobody asked for" in refused[0]["lastError"]
