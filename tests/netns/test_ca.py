"""leat-ca, asked by a foreign client that speaks istio.v1.auth.IstioCertificateService by grpcio."""
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from ca_lab import AGENT, BACKEND, SYSTEM, Authority, agent_pod, agent_token, cluster_lab, lone_authority
from ca_programs import make_request
from lab import wait_for
from mesh import PLAIN

pytestmark = pytest.mark.skipif(PLAIN, reason="asks Leat, and LEAT_PLAIN is set")


@pytest.fixture(scope="module")
def authority():
    with lone_authority() as shop:
        yield shop


def names_of(pem):
    found = x509.load_pem_x509_certificate(pem.encode()).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return [str(name.value) for name in found.value]


def test_the_bundle_is_published_for_everybody_and_the_key_for_nobody(authority):
    secret = authority.api.do("object", key=["secrets", SYSTEM, "leat-ca-root"])
    published = authority.ca.roots_file.read_text()
    assert "ca.key" in secret["data"] and "PRIVATE" not in published
    bundle = wait_for(lambda: authority.api.do("object", key=["clustertrustbundles", "", "leat-ca-root"]), "the ClusterTrustBundle is there")
    assert bundle["spec"]["trustBundle"] == published


# ---------------------------------------------------------------- a foreign client

def test_a_foreign_client_gets_a_chain_that_leads_to_the_published_root(authority):
    code, details, chain = authority.ca.ask(agent_token(authority), seconds=600)
    assert (code, details) == ("OK", "")
    assert chain[-1] == authority.ca.roots_file.read_text() and names_of(chain[0]) == [BACKEND]
    leaf, root = (x509.load_pem_x509_certificate(pem.encode()) for pem in (chain[0], chain[-1]))
    root.public_key().verify(leaf.signature, leaf.tbs_certificate_bytes, ec.ECDSA(leaf.signature_hash_algorithm))
    life = leaf.not_valid_after - leaf.not_valid_before
    assert life.total_seconds() == 600 + 300  # and 5 minutes for clocks that are behind


def test_what_a_request_would_like_to_be_counts_for_nothing(authority):
    greedy = make_request(names=["spiffe://cluster.local/ns/kube-system/sa/admin"], subject="admin")
    code, _, chain = authority.ca.ask(agent_token(authority), csr=greedy)
    assert code == "OK" and names_of(chain[0]) == [BACKEND]
    assert not x509.load_pem_x509_certificate(chain[0].encode()).subject.rdns


def test_a_certificate_lives_for_no_longer_than_the_ca_allows(authority):
    _, _, chain = authority.ca.ask(agent_token(authority), seconds=30 * 24 * 3600)
    leaf = x509.load_pem_x509_certificate(chain[0].encode())
    assert (leaf.not_valid_after - leaf.not_valid_before).total_seconds() == 12 * 3600 + 300


STRANGER = ("UNAUTHENTICATED", "not authenticated as the agent of a node", [])


@pytest.mark.parametrize("details, reason", [
    ({"audience": "https://kubernetes.default.svc"}, "token audiences"),
    ({"seconds": -1}, "token has expired"),
    ({"account": "shop/backend", "pod": "backend-v1-2"}, "shop/backend is not a service account that asks"),
    ({"pod": ""}, "is bound to no pod")])
def test_a_token_that_is_not_an_agents_is_told_nothing_and_the_log_says_why(authority, details, reason):
    assert authority.ca.ask(agent_token(authority, **details)) == STRANGER
    assert authority.ca.said("audit: refused", reason)


def test_without_a_token_and_with_an_invented_one_nothing_is_told(authority):
    assert authority.ca.ask(None) == authority.ca.ask("invented") == STRANGER


def test_a_node_gets_only_identities_of_its_own_pods(authority):
    front = "spiffe://cluster.local/ns/shop/sa/frontend"  # runs on node-a
    code, details, chain = authority.ca.ask(agent_token(authority), identity=front)
    assert (code, chain) == ("PERMISSION_DENIED", [])
    assert details == "pod not found on node-b: none there has the service account shop/frontend"
    assert authority.ca.ask(agent_token(authority, authority.a), identity=front)[0] == "OK"
    assert authority.ca.said("audit: refused", f"identity={front}", "node=node-b", "pod not found on node-b")


def test_a_token_that_names_another_node_than_its_pods_is_refused(authority):
    code, details, _ = authority.ca.ask(agent_token(authority, authority.b, pod="leat-agent-node-a"))
    assert (code, details) == ("PERMISSION_DENIED", "the agent's pod leat-system/leat-agent-node-a is not found on node-b")
    code, details, _ = authority.ca.ask(agent_token(authority, uid="of-a-pod-before"))
    assert code == "PERMISSION_DENIED"


def test_an_api_server_that_does_not_say_the_node_is_asked_for_the_pod(authority):
    token = authority.api.do("issue", account=AGENT, pod="leat-agent-node-b", node="")
    assert authority.ca.ask(token)[0] == "OK"
    assert authority.ca.ask(token, identity="spiffe://cluster.local/ns/shop/sa/frontend")[0] == "PERMISSION_DENIED"
    assert authority.ca.ask(authority.api.do("issue", account=AGENT, pod="gone", node="")) == STRANGER


@pytest.mark.parametrize("identity", ["spiffe://other.local/ns/shop/sa/backend", "spiffe://cluster.local/ns/shop/sa/backend/x", "backend"])
def test_an_identity_that_is_none_or_of_another_trust_domain_is_refused(authority, identity):
    assert authority.ca.ask(agent_token(authority), identity=identity)[0] in ("PERMISSION_DENIED", "INVALID_ARGUMENT")


@pytest.mark.parametrize("csr", [b"", b"no request", make_request(curve="SECP384R1")])
def test_a_request_that_is_none_or_of_another_kind_of_key_is_refused(authority, csr):
    code, _, chain = authority.ca.ask(agent_token(authority), csr=csr or b" ")
    assert (code, chain) == ("INVALID_ARGUMENT", [])


# ---------------------------------------------------------------- rates and replicas

def test_a_node_that_asks_too_much_is_held_back_and_the_others_are_not():
    with lone_authority("--rate", "0.1", "--burst", "8") as shop:
        assert shop.ca.ask(agent_token(shop, shop.b), times=10)[0] == "RESOURCE_EXHAUSTED"
        assert shop.ca.ask(agent_token(shop, shop.a))[0] == "OK"


def test_of_two_replicas_one_leads_both_sign_with_one_root_and_the_other_takes_over():
    with cluster_lab() as shop:
        shop.lab.objects.namespace(SYSTEM, enrolled=False)
        agent_pod(shop, shop.b)
        shop.ca = Authority(shop)
        other = Authority(shop, 1)
        assert [replica.leads() for replica in (shop.ca, other)] == [True, False]
        chains = [replica.ask(agent_token(shop))[2] for replica in (shop.ca, other)]
        assert chains[0][-1] == chains[1][-1]
        shop.ca.program.terminate()  # gives its lease back
        wait_for(other.leads, "the other leads at once", 8)
        shop.ca.start()
        assert not shop.ca.leads()
        other.program.kill()  # does not
        wait_for(shop.ca.leads, "it leads once the lease has run out", 40)
        assert shop.ca.ask(agent_token(shop))[2][-1] == chains[0][-1]
