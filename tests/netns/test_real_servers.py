"""Servers and clients that others wrote, through the mesh on an HTTP port: nginx behind curl and h2load, and a pair of WebSocket programs.
What gRPC's own programs do is in test_http2.py."""
import hashlib
import json
import os

import pytest

from grpc_programs import call
from lab import wait_for
from mesh import asks_leat
from programs import outcome
from server_programs import NGINX, serve_nginx, serve_websocket, talk_websocket
from http_programs import ask, get
from shop import NAMESPACE

pytestmark = asks_leat
HTTP, HTTP2, CHAT = 9601, 9602, 9603
ADDRESSES = {"same-node": "10.96.0.71", "other-node": "10.96.0.72"}
BIG = 20 << 20


@pytest.fixture(scope="module")
def real(shop, near, far, tmp_path_factory):
    """The Services `real-near` and `real-far`: nginx on two ports, of which the second speaks HTTP/2 only, and a WebSocket server."""
    if not NGINX.exists():
        pytest.skip("needs nginx in build/nginx: ./dev test unpacks it")
    programs, www = [], {}
    for pod in (near, far):
        folder = tmp_path_factory.mktemp(pod.name)
        (folder / "www/put").mkdir(parents=True)
        (folder / "www/big").write_bytes(os.urandom(BIG))
        (folder / "www/text").write_text("word " * 2000)
        www[pod.name] = folder / "www"
        servers = [pod.spawn(serve_nginx, str(folder), HTTP), pod.spawn(serve_nginx, str(folder), HTTP2, " http2"), pod.spawn(serve_websocket, CHAT)]
        assert [server.hear() for server in servers] == ["listening"] * 3
        programs += servers
    for where, pod in (("same-node", near), ("other-node", far)):
        shop.lab.objects.service(f"real-{where}", NAMESPACE, [ADDRESSES[where]], {}, {"name": pod.name}, http={port: port for port in (HTTP, HTTP2, CHAT)})
        wait_for(lambda where=where: outcome(lambda: shop.frontend.call(ask, ADDRESSES[where], HTTP, get("/echo"))) == "ok", "nginx answers", interval=0.1)
    yield {"www": www, "chat": {"same-node": programs[2], "other-node": programs[5]}}
    for where in ADDRESSES:
        shop.lab.objects.remove(f"service-{NAMESPACE}-real-{where}")
    for program in programs:
        program.kill()


@pytest.fixture(params=list(ADDRESSES))
def where(request):
    return request.param


def curl(shop, where, port, path, *options):
    return shop.frontend.run(["curl", "-sS", "--max-time", "60", *options, f"http://{ADDRESSES[where]}:{port}{path}"], timeout=90).stdout


CLIENTS = pytest.mark.parametrize("client", ["--http1.1", "--http2-prior-knowledge"])


@CLIENTS
@pytest.mark.parametrize("port", [HTTP, HTTP2])
def test_nginx_answers_in_its_own_version_whatever_the_client_speaks(shop, real, where, port, client):
    """Of the four pairs one needs a word of the user: HTTP/1.1 to a server of HTTP/2 alone, on a port that does not say so."""
    rule = {"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": {"name": "real", "namespace": NAMESPACE},
            "spec": {"host": f"real-{where}", "trafficPolicy": {"portLevelSettings": [
                {"port": {"number": HTTP2}, "connectionPool": {"http": {"h2UpgradePolicy": "UPGRADE"}}}]}}}
    path = shop.lab.objects.write("real-rule", rule)
    try:
        expected = f"GET HTTP/{'1.1' if port == HTTP else '2.0'} hello\n"
        wait_for(lambda: curl(shop, where, port, "/echo", client, "-H", "x-word: hello") == expected, "nginx is spoken to so", interval=0.1)
    finally:
        path.unlink()


@CLIENTS
def test_nginx_sends_and_takes_large_files_whole(shop, real, where, client, near, far, tmp_path):
    www = real["www"][(near if where == "same-node" else far).name]
    got = tmp_path / "got"
    curl(shop, where, HTTP, "/big", client, "-o", str(got))
    assert digest(got) == digest(www / "big")
    assert curl(shop, where, HTTP, "/put/back", client, "-T", str(got), "-w", "%{http_code}", "-o", os.devnull) in ("201", "204")
    assert digest(www / "put/back") == digest(got)
    (www / "put/back").unlink()


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@CLIENTS
def test_nginx_compresses_resumes_and_validates(shop, real, where, client):
    assert curl(shop, where, HTTP, "/text", client, "--compressed") == "word " * 2000
    assert curl(shop, where, HTTP, "/text", client, "-r", "5-8") == "word"
    etag = next(line.split(": ")[1].strip() for line in curl(shop, where, HTTP, "/text", client, "-I").splitlines() if line.lower().startswith("etag"))
    assert curl(shop, where, HTTP, "/text", client, "-H", f"if-none-match: {etag}", "-w", "%{http_code}") == "304"


def test_h2load_finds_no_failure_in_3000_requests_to_a_server_of_http1(shop, real, where):
    done = shop.frontend.run(["h2load", "-n", "3000", "-c", "3", "-m", "20", f"http://{ADDRESSES[where]}:{HTTP}/echo"], timeout=120)
    assert "3000 succeeded, 0 failed, 0 errored, 0 timeout" in done.stdout, done.stdout


def test_a_grpc_call_to_a_server_of_http1_says_what_is_wrong(shop, real, where):
    status, message, *_ = shop.frontend.call(call, ADDRESSES[where], HTTP, "Unary")
    assert status == "UNIMPLEMENTED" and "HTTP/1.1" in message


def test_flows_say_how_many_requests_a_connection_carried(shop, real, where):
    shop.frontend.run(["h2load", "-n", "70", "-c", "1", "-m", "10", f"http://{ADDRESSES[where]}:{HTTP}/echo"], timeout=60)
    seen = json.loads(shop.a.leat("flows", "--closed", "-o", "json").stdout)
    assert any(flow["requests"] == 70 and flow["requestsOpen"] == 0 and flow["requestedAddress"] == ADDRESSES[where] for flow in seen), seen[-3:]
    table = shop.a.leat("flows", "--closed").stdout
    assert "REQS" in table.splitlines()[0]


def test_a_websocket_pair_talks_as_without_a_mesh(shop, real, where):
    messages = ["hello", "", "ä" * 1000, bytes(range(256)) * 4096, "last"]
    heard, subprotocol = shop.frontend.call(talk_websocket, ADDRESSES[where], CHAT, messages)
    assert heard == messages and subprotocol == "chat"
    assert real["chat"][where].hear() == (4001, "enough", "last")
