"""Pods leave the mesh while they hold connections: no request is refused for it, and what comes next is untouched."""
import contextlib
import os
import signal
import time
from collections import Counter

import pytest

from http_programs import Talk, get
from lab import wait_for
from mesh import asks_leat, strict
from programs import connect, try_http
from shop import BACKEND_PORT, BACKEND_TCP_PORT, BACKEND_VIP, NAMESPACE, enrolled_pods
from test_kubernetes_source import running_cluster

PAUSE_S = 0.005
LATE_S = 0.4  # a node hears of everything


def _keep_asking(say, address, port):
    """For Pod.spawn(): one request after the other, on one connection as long as its server keeps it, until SIGUSR1. Returns how often
    each status came, and why each connection ended."""
    told = []
    signal.signal(signal.SIGUSR1, lambda *_: told.append(True))
    statuses, ends = Counter(), Counter()
    while not told:
        with connect(address, port) as sock:
            talk = Talk(sock)
            while not told:
                try:
                    answer = talk.ask(get(host=f"backend:{port}"))
                except (EOFError, OSError) as error:
                    ends[type(error).__name__] += 1
                    break
                statuses[answer.status] += 1
                if statuses.total() == 20:
                    say("asking")
                if (answer.header("connection") or "").lower() == "close":
                    ends["told"] += 1
                    break
                time.sleep(PAUSE_S)
    return dict(statuses), dict(ends)


@asks_leat
def test_a_kept_connection_of_a_pod_that_leaves_is_closed_as_idle_servers_close_theirs(new_shop):
    """With what it was asked answered. A request that crosses the close on its way is the client's to repeat (RFC 9112 §9.5)."""
    clients = [new_shop.frontend.spawn(_keep_asking, BACKEND_VIP, BACKEND_PORT) for _ in range(4)]
    for client in clients:
        assert client.hear() == "asking"
    new_shop.lab.objects.namespace(NAMESPACE, enrolled=False)
    for node in new_shop.lab.nodes:
        wait_for(lambda node=node: not enrolled_pods(node), f"{node.name}: all have left")
    assert not new_shop.ask(20)["failed"]
    for client in clients:
        os.kill(client.pid, signal.SIGUSR1)
        statuses, ends = client.result()
        assert set(statuses) == {200} and statuses[200] > 20, statuses
        assert sum(ends.values()) == 1, ends


def _keep_dialling(say, address, port):
    """For Pod.spawn(): one connection after the other, each with a request, until SIGUSR1. Returns how often each end came."""
    told = []
    signal.signal(signal.SIGUSR1, lambda *_: told.append(True))
    ends = Counter()
    while not told:
        try:
            with connect(address, port) as sock:
                ends[Talk(sock).ask(get(host=f"backend:{port}")).status] += 1
        except (EOFError, OSError) as error:
            ends[f"{type(error).__name__} {error}"] += 1
        if ends.total() == 20:
            say("dialling")
    return dict(ends)


@asks_leat
@pytest.mark.parametrize("mode", ["PERMISSIVE", "STRICT"])
def test_no_connection_is_lost_while_one_node_knows_that_the_pods_leave_and_the_other_does_not(mode):
    """In a cluster the nodes hear of it one after the other: whoever knows it last still dials tunnels, whoever knows it first plaintext."""
    with running_cluster() as shop, strict(shop) if mode == "STRICT" else contextlib.nullcontext():
        target = shop.backends["backend-v2-1"]  # on the other node
        if mode == "STRICT":
            wait_for(lambda: shop.visitor.call(try_http, target.ipv4, BACKEND_PORT) != "ok", "strangers are refused")
        clients = [shop.frontend.spawn(_keep_dialling, *where) for where in ((BACKEND_VIP, BACKEND_TCP_PORT), (target.ipv4, BACKEND_PORT))]
        for client in clients:
            assert client.hear() == "dialling"
        shop.api.do("late", client=shop.a.gateway4, seconds=LATE_S)
        shop.lab.objects.namespace(NAMESPACE, enrolled=False)
        wait_for(lambda: not enrolled_pods(shop.b), "the node that heard it at once has let its pods go", 30)
        wait_for(lambda: not enrolled_pods(shop.a), "the other one, too", 30)
        for client in clients:
            os.kill(client.pid, signal.SIGUSR1)
            assert set(client.result()) == {200}
