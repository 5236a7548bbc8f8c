"""Copies of requests that a route sends to other Services: as they are, and nobody waits for them."""
import time

import pytest

from mesh import asks_leat, metrics
from http_programs import answering, ask, ask_in_turn, chunked, get, ok, post, serve
from lab import wait_for
from shop import NAMESPACE
from test_gateway_routes import GatewayRoutes
from test_routes import Routes, echo

pytestmark = asks_leat
PORT, ADDRESS = 9089, "10.96.0.41"


@pytest.fixture(scope="module")
def shadow(shop, near):
    """A Service that only mirrors lead to; what its server is asked is heard from this."""
    program = near.spawn(serve, PORT, answering(lambda request: ok(b"thrown away")))
    assert program.hear() == "listening"
    shop.lab.objects.service("shadow", NAMESPACE, [ADDRESS], {}, {"name": near.name}, http={80: PORT})
    yield program
    shop.lab.objects.remove(f"service-{NAMESPACE}-shadow")
    program.kill()


@pytest.fixture
def routes(site, shadow):
    site.serve(echo)
    made = Routes(site)
    yield made
    if made.path:
        made.path.unlink()


def mirrored(shop, result):
    return sum(each["value"] for each in metrics(shop.a)
               if each["name"] == "leat_mirrored_requests_total" and each["labels"].get("result") == result)


def test_a_copy_of_each_request_goes_to_the_mirror_as_the_server_got_it(site, routes, shadow):
    routes.apply(routes.to(mirror={"host": "shadow", "port": {"number": 80}}, headers={"request": {"set": {"x-set": "route"}}}))
    answer = site.call(ask, post(b"body", path="/a?q=1", host="web:81"))
    assert answer.status == 200 and answer.header("x-from") == "server"
    copy = shadow.hear()
    assert copy.first == "POST /a?q=1 HTTP/1.1" and copy.body == b"body"
    assert copy.header("host") == "web-shadow:81" and copy.header("x-set") == "route"


def test_a_chunked_body_is_copied_whole_and_a_large_one_is_not_mirrored(site, routes, shadow):
    routes.apply(routes.to(mirrors=[{"destination": {"host": "shadow", "port": {"number": 80}}}]))
    head = get("/", "Transfer-Encoding: chunked", method="POST")
    assert site.call(ask, head + chunked(b"one", b"two")).status == 200
    assert shadow.hear().body == b"onetwo"
    before = mirrored(site.shop, "dropped")
    assert site.call(ask, post(b"x" * 100_000)).status == 200
    wait_for(lambda: mirrored(site.shop, "dropped") == before + 1, "the large one is counted as dropped")


def test_a_share_of_the_requests_is_mirrored(site, routes, shadow):
    routes.apply(routes.to(mirror={"host": "shadow", "port": {"number": 80}}, mirrorPercentage={"value": 30}))
    before = mirrored(site.shop, "sent")
    site.call(ask_in_turn, [get("/")] * 500)
    copies = wait_for(lambda: (count := mirrored(site.shop, "sent") - before) > 90 and count, "copies are sent")
    assert copies < 220  # 7 standard deviations
    for _ in range(int(copies)):
        shadow.hear()


def test_a_mirror_that_does_not_answer_costs_the_request_nothing(site, routes, shadow):
    routes.apply(routes.to(mirror={"host": "shadow", "port": {"number": 81}}))  # a port that there is none of
    before = mirrored(site.shop, "dropped")
    started = time.monotonic()
    answers = site.call(ask_in_turn, [get("/")] * 20)
    assert all(answer.status == 200 for answer in answers) and time.monotonic() - started < 5
    wait_for(lambda: mirrored(site.shop, "dropped") >= before + 20, "they are counted")


def test_a_gateway_route_mirrors_too(site, shadow):
    site.serve(echo)
    gateway = GatewayRoutes(site)
    try:
        gateway.apply([{"backendRefs": [gateway.backend], "filters": [
            {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "shadow", "port": 80}}}]}])
        assert site.call(ask, get("/gateway")).status == 200
        assert shadow.hear().first == "GET /gateway HTTP/1.1"
    finally:
        gateway.path.unlink()
