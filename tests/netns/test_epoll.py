"""The epoll back end: chosen where io_uring is forbidden, and the same to every application. Both nodes run it here, one because it must
and one because it was told to; the tests are those of the paths, a few of each kind."""
import sys
from pathlib import Path

import pytest

from mesh import asks_leat, running_shop
from test_paths import (echo_server, port, test_a_reset_by_the_client_is_a_reset_for_the_server,  # noqa: F401  (run here too)
                        test_a_reset_by_the_server_is_a_reset_for_the_client, test_a_server_that_speaks_first_is_heard,
                        test_bulk_arrives_unchanged_both_ways_at_once as bulk_arrives_unchanged,
                        test_cross_node_bytes_are_tls_1_3_on_the_wire_and_the_plaintext_marker_is_not,
                        test_the_application_sees_the_real_client_address, test_the_clients_half_close_reaches_the_server_which_still_answers,
                        test_the_same_node_setting_chooses_the_way, test_the_servers_half_close_reaches_the_client_which_still_sends)
from test_strict import strict_shop, test_strict_refuses_plaintext_with_a_reset, test_strict_serves_the_mesh_on_every_path  # noqa: F401

pytestmark = asks_leat
WITHOUT_IO_URING = [sys.executable, Path(__file__).with_name("without_io_uring.py")]
CANNOT_SERVE = 78


@pytest.fixture(scope="module")
def shop():
    with running_shop() as own:
        for node in own.lab.nodes:
            node.kill_proxies()
        own.a.start_proxy(launcher=WITHOUT_IO_URING)
        own.b.start_proxy("--backend", "epoll")
        for node in own.lab.nodes:
            node.wait_ready()
        yield own


@pytest.fixture(scope="module")
def near(shop):
    return shop.backends["backend-v1-1"]


@pytest.fixture(scope="module")
def far(shop):
    return shop.backends["backend-v1-2"]


@pytest.fixture(params=["same-node", "other-node"])
def server(request, near, far):
    return near if request.param == "same-node" else far


def test_where_io_uring_is_forbidden_the_proxy_says_why_and_what_to_do_and_serves(shop):
    said = shop.a.proxy.text()
    assert "io_uring_setup refused" in said and "seccomp profile" in said and "kernel.io_uring_disabled" in said
    assert all("2 workers, epoll" in node.proxy.text() for node in shop.lab.nodes)
    assert shop.ask(30)["failed"] == {}


def test_a_proxy_that_is_told_to_use_io_uring_and_may_not_refuses_to_start(shop):
    done = shop.a.part(shop.a.proxy_cgroup).run(
        [*WITHOUT_IO_URING, shop.lab.binary("leat-proxy"), "--agent", shop.a.proxy_socket, "--user", shop.a.proxy_uid, "--backend", "io_uring"],
        check=False, timeout=10)
    assert done.returncode == CANNOT_SERVE
    assert "use the epoll back end" in done.stdout + done.stderr


def test_64_mib_arrive_unchanged_both_ways_at_once(shop, server, port):  # noqa: F811
    bulk_arrives_unchanged(shop, server, port, 64 << 20)
