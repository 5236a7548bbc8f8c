"""Many at once, and one after the other for long: nothing fails, nothing leaks."""
import json
import os
import signal

import pytest

from mesh import asks_leat, flows
from lab import wait_for
from load import BASE_PORT, ECHO, Load, rss_kib, settled, start_backend
from programs import connect, outcome, read_exactly, try_connect

SHORT_CONNECTIONS = 20000


@pytest.fixture(scope="module")
def loaded(shop, near, far):
    backends = [start_backend(pod) for pod in (near, far)]
    yield shop
    for backend in backends:
        backend.kill()


def test_two_thousand_concurrent_connections_are_all_served(loaded, server):
    report = Load(loaded.frontend, "http", server.ipv4, connections=2000, seconds=4).report()
    assert report["failed"] == {} and report["done"] > 2000


def test_two_thousand_idle_connections_still_echo_after_a_while(loaded, far):
    done = loaded.frontend.run([loaded.lab.binary("bench_load"), "idle", far.ipv4, BASE_PORT + ECHO, "--connections", 2000], text_input="")
    assert '"failed": {}' in done.stdout


@asks_leat
def test_a_pod_beyond_its_share_of_connections_is_refused_with_the_reason_and_its_neighbour_is_served(new_shop):
    """A proxy with 1,000 descriptors: 90 % of them are one pod's at most, two a connection."""
    share = 450
    shop, far = new_shop, new_shop.backends["backend-v1-2"]
    start_backend(far)
    shop.a.kill_proxies()
    shop.a.start_proxy(launcher=["prlimit", "--nofile=1000:1000"])
    shop.a.wait_ready()
    greedy = shop.frontend.spawn(_hold_what_is_served, far.ipv4, BASE_PORT + ECHO, share + 50)
    assert greedy.hear(30) == (share, 50)
    neighbour = shop.backends["backend-v1-1"]
    assert neighbour.call(try_connect, far.ipv4, BASE_PORT + ECHO) == "ok"
    refused = flows(shop.a, direction="outbound", sourcePod="frontend", verdict="denied",
                    reason="the pod has as many connections or handshakes as one pod may have")
    assert len(refused) == 50
    greedy.kill()
    wait_for(lambda: shop.frontend.call(try_connect, far.ipv4, BASE_PORT + ECHO) == "ok", "its share is free again", interval=0.1)


def _hold_what_is_served(say, address, port, count):
    """Says how many connections were served, and how many were not."""
    held = []

    def one_more():
        sock = connect(address, port)
        sock.sendall(b"?")
        read_exactly(sock, 1)
        held.append(sock)
    for _ in range(count):
        outcome(one_more)
    say((len(held), count - len(held)))
    signal.pause()


@asks_leat
def test_twenty_thousand_short_connections_leak_no_descriptor_id_map_entry_or_memory(loaded, far):
    def load(total):
        report = Load(loaded.frontend, "newconn", far.ipv4, connections=32, total=total).report(300)
        assert report["failed"] == {} and report["done"] == total
    load(2000)  # fills caches and pools
    before = {name: settled(measure, name) for name, measure in _measures(loaded).items()}
    load(SHORT_CONNECTIONS)
    for name, measure in _measures(loaded).items():
        allowed = 2048 if name.endswith("KiB") else 0 if name.endswith("ids") else 64  # spare sockets and tunnels come and go
        wait_for(lambda n=name, m=measure, more=allowed: m() <= before[n] + more, f"{name} returns to {before[name]}", timeout=20, interval=0.2)


def _measures(shop):
    """What could leak, by name, each as a function that counts it now."""
    measures = {}
    for node in shop.lab.nodes:
        pids = {"agent": [node.agent.pid], "proxy": node.worker_pids()}
        for program, members in pids.items():
            measures[f"{node.name} {program} descriptors"] = lambda members=members: sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in members)
            measures[f"{node.name} {program} KiB"] = lambda members=members: sum(rss_kib(pid) for pid in members)
        measures[f"{node.name} map entries"] = lambda node=node: metric(node, "leat_map_entries", ("direct", "ejected"))
        measures[f"{node.name} alias ids"] = lambda node=node: metric(node, "leat_map_entries", ("alias_addresses",))
        measures[f"{node.name} source ids"] = lambda node=node: metric(node, "leat_agent_source_ids_held")
    return measures


def metric(node, name, maps=None):
    return sum(each["value"] for each in json.loads(node.leat("metrics", "-o", "json").stdout)
               if each["name"] == name and (maps is None or each["labels"]["map"] in maps))
