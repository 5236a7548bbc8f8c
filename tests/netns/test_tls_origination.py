"""DestinationRule tls SIMPLE and MUTUAL: the application speaks plainly, the proxy starts TLS to a server outside the mesh and verifies it.
The servers are openssl's own."""
import base64
import itertools

import pytest

from http_programs import ask, get
from lab import wait_for
from mesh import PLAIN, asks_leat, flows, running_shop
from programs import connect, outcome, read_until
from shop import NAMESPACE
from tls_programs import Authority, s_server

pytestmark = asks_leat
HOST, ADDRESS, PORT, LINE_PORT = "api.example.com", "192.0.2.40", 9443, 9444
MUTUAL_PORT, EXPIRED_PORT, HTTP2_PORT = 9453, 9463, 9473
_edits = itertools.count()


def connects(address, port):
    return outcome(lambda: connect(address, port).close())


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    """A shop whose agents read certificates of one folder, and a server outside the mesh that nobody has an object of."""
    if PLAIN:
        pytest.skip("asks Leat")
    with running_shop() as shop:
        folder = tmp_path_factory.mktemp("tls")
        for node in shop.lab.nodes:
            node.agent.terminate()
            node.start_agent(tls_files=str(folder))
        for node in shop.lab.nodes:
            node.wait_ready()
        shop.folder, shop.authority, shop.stranger = folder, Authority(folder), Authority(folder, "another CA")
        shop.outside = shop.b.add_pod("outside", "nowhere")
        # Who does not say HOST is shown another certificate.
        good = shop.authority.issue("good", f"DNS:{HOST}", "URI:spiffe://elsewhere/api")
        servers = [s_server(shop.outside, PORT, *shop.authority.issue("default"), "-servername", HOST, "-cert2", good[0], "-key2", good[1]),
                   s_server(shop.outside, MUTUAL_PORT, *shop.authority.issue("mutual", f"DNS:{HOST}"), "-Verify", "1", "-verify_return_error",
                            "-CAfile", shop.authority.certificate),
                   s_server(shop.outside, EXPIRED_PORT, *shop.authority.issue("expired", f"DNS:{HOST}", days=-1))]
        (folder / "pages").mkdir()
        (folder / "pages" / "index.html").write_text("in HTTP/2")
        servers.append(shop.outside.start(["nghttpd", "-d", folder / "pages", HTTP2_PORT, good[1], good[0]]))
        wait_for(lambda: shop.outside.call(connects, shop.outside.ipv4, HTTP2_PORT) == "ok", "nghttpd listens")
        lines = shop.outside.start(["openssl", "s_server", "-accept", LINE_PORT, "-cert", folder / "good.crt", "-key", folder / "good.key",
                                    "-rev"])
        lines.expect("ACCEPT")
        yield shop
        for program in (*servers, lines):
            program.kill()


def entry(shop):
    ports = [(80, "http", "HTTP", PORT), (81, "http-mutual", "HTTP", MUTUAL_PORT), (82, "tcp", "TCP", LINE_PORT),
             (83, "http-expired", "HTTP", EXPIRED_PORT), (84, "http2", "HTTP2", HTTP2_PORT), (85, "http2-unable", "HTTP2", PORT)]
    return {"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": {"name": "api", "namespace": NAMESPACE},
            "spec": {"hosts": [HOST], "addresses": [ADDRESS], "resolution": "STATIC", "endpoints": [{"address": shop.outside.ipv4}],
                     "ports": [{"number": number, "name": name, "protocol": protocol, "targetPort": target}
                               for number, name, protocol, target in ports]}}


def rule(**tls):
    return {"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": {"name": "api", "namespace": NAMESPACE},
            "spec": {"host": HOST, "trafficPolicy": {"tls": tls}}}


def secret(name, authority, certificate=None, key=None):
    data = {"ca.crt": authority.certificate, **({"tls.crt": certificate, "tls.key": key} if certificate else {})}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": NAMESPACE},
            "data": {name: base64.b64encode(path.read_bytes()).decode() for name, path in data.items()}}


@pytest.fixture
def origin(outside):
    """origin(tls fields, more objects): in force on return."""
    def apply(*objects, **tls):
        mark = f"/in-force-{next(_edits)}"
        probe = {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "api", "namespace": NAMESPACE},
                 "spec": {"hosts": [HOST], "http": [{"match": [{"uri": {"exact": mark}}], "directResponse": {"status": 418}},
                                                    {"route": [{"destination": {"host": HOST}}], "retries": {"attempts": 0}}]}}
        outside.lab.objects.write("origin", entry(outside), rule(**tls), probe, *objects)

        def in_force():
            try:
                return outside.frontend.call(ask, ADDRESS, 80, get(mark, host=HOST)).status == 418
            except OSError:
                return False
        wait_for(in_force, "the rule is in force", timeout=20)
    yield apply
    outside.lab.objects.remove("origin")


def answer(shop, port=80):
    return shop.frontend.call(ask, ADDRESS, port, get("/", host=HOST))


def test_a_plain_request_arrives_in_tls_at_a_server_that_was_verified(outside, origin):
    origin(mode="SIMPLE", caCertificates=str(outside.authority.certificate))
    page = answer(outside)
    assert page.status == 200 and b"TLSv1.3" in page.body
    assert flows(outside.a, security="TLS", destinationService=f"{NAMESPACE}/{HOST}")


def test_an_opaque_connection_arrives_in_tls_too_and_comes_back(outside, origin):
    origin(mode="SIMPLE", caCertificates=str(outside.authority.certificate))

    def reversed_line(address, port):
        sock = connect(address, port)
        sock.sendall(b"abc\n")
        return read_until(sock, b"\n")
    assert outside.frontend.call(reversed_line, ADDRESS, 82) == b"cba\n"


@pytest.mark.parametrize("tls, reason", [
    (lambda shop: {"caCertificates": str(shop.stranger.certificate)}, "server-untrusted"),
    (lambda shop: {}, "server-untrusted"),  # the system's CAs do not know it
    (lambda shop: {"caCertificates": str(shop.authority.certificate), "sni": "other.example.com"}, "server-name"),
    (lambda shop: {"caCertificates": str(shop.authority.certificate), "subjectAltNames": ["spiffe://elsewhere/other"]}, "server-name"),
    (lambda shop: {"caCertificates": "/etc/passwd"}, "own-credentials"),  # not of the agent's folder
    (lambda shop: {"credentialName": "nobody"}, "own-credentials"),
], ids=["another-ca", "system", "another-name", "another-san", "foreign-file", "no-secret"])
def test_a_server_that_is_not_verified_gets_no_request_and_the_reason_is_told(outside, origin, tls, reason):
    origin(mode="SIMPLE", **tls(outside))
    refused = answer(outside)
    assert (refused.status, refused.header("leat-reason")) == (503, reason)
    failed = next(each for each in outside.a.leat("metrics").stdout.splitlines()
                  if "istio_requests_total" in each and HOST in each and 'response_flags="UF"' in each)
    assert failed


def test_a_server_whose_certificate_has_expired_gets_no_request_and_the_reason_is_told(outside, origin):
    origin(mode="SIMPLE", caCertificates=str(outside.authority.certificate))
    refused = answer(outside, 83)
    assert (refused.status, refused.header("leat-reason")) == (503, "server-expired")
    assert answer(outside).status == 200  # of the same authority, within its time


def test_a_server_of_http2_is_offered_that_and_one_that_does_not_take_it_gets_no_request(outside, origin):
    origin(mode="SIMPLE", caCertificates=str(outside.authority.certificate))
    page = answer(outside, 84)  # this server speaks nothing else, and only to who offers h2
    assert (page.status, page.body) == (200, b"in HTTP/2")

    def is_refused_and_told():
        refused = answer(outside, 85)
        assert (refused.status, refused.header("leat-reason")) == (503, "server-tls-failed")
        return "does not offer HTTP/2 (ALPN h2)" in outside.a.proxy.text()  # at most one such line a second
    wait_for(is_refused_and_told, "the proxy's log says why", interval=0.3)


def test_one_of_the_names_that_are_asked_for_is_enough(outside, origin):
    origin(mode="SIMPLE", caCertificates=str(outside.authority.certificate),
           subjectAltNames=["other.example.com", "spiffe://elsewhere/api"])
    assert answer(outside).status == 200


def test_without_verification_anybody_is_the_server_and_lint_says_so(outside, origin):
    origin(mode="SIMPLE", insecureSkipVerify=True)
    assert answer(outside).status == 200
    assert "nothing is verified" in outside.a.leat("lint", str(outside.lab.objects.folder), check=False).stdout


def test_mutual_shows_the_certificate_of_a_secret_and_simple_shows_none(outside, origin):
    certificate, key = outside.authority.issue("client")
    origin(secret("client", outside.authority, certificate, key), mode="MUTUAL", credentialName="client")
    assert answer(outside, 81).status == 200
    origin(mode="MUTUAL", caCertificates=str(outside.authority.certificate), clientCertificate=str(certificate), privateKey=str(key))
    assert answer(outside, 81).status == 200
    origin(mode="SIMPLE", caCertificates=str(outside.authority.certificate))
    assert answer(outside, 81).status == 503


def test_a_renewed_file_is_in_force_without_an_edit(outside, origin):
    bundle = outside.folder / "bundle.crt"
    bundle.write_bytes(outside.stranger.certificate.read_bytes())
    origin(mode="SIMPLE", caCertificates=str(bundle))
    assert answer(outside).status == 503
    bundle.write_bytes(outside.authority.certificate.read_bytes())
    wait_for(lambda: answer(outside).status == 200, "the renewed bundle is believed", timeout=20, interval=0.2)


def test_no_answer_to_leat_has_a_private_key(outside, origin):
    certificate, key = outside.authority.issue("client")
    origin(secret("client", outside.authority, certificate, key), mode="MUTUAL", credentialName="client")
    for words in (["services", "-o", "json"], ["routes", "-o", "json"], ["check"]):
        assert "PRIVATE KEY" not in outside.a.leat(*words, check=False).stdout
