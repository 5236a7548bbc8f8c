"""Where requests go: weights, subsets, matches, and edits of them while traffic runs."""
import json
import os
import signal
import threading
import time
from collections import Counter

import pytest

from mesh import asks_leat, requests_counted
from http_programs import Talk, ask, ask_in_turn, get, ok, serve
from http_sites import routed
from lab import wait_for
from programs import CHUNK_BYTES, connect
from shop import NAMESPACE

pytestmark = asks_leat


@pytest.fixture(scope="module")
def versions(shop):
    """The Service `split`: all three backends, each telling its version in every answer."""
    port, address = 9090, "10.96.0.40"
    objects = shop.lab.objects
    programs = []
    for pod in shop.backends.values():
        programs.append(pod.spawn(serve, port, _telling(pod.labels["version"].encode())))
        assert programs[-1].hear() == "listening"
    objects.service("split", NAMESPACE, [address], {}, {"app": "backend"}, http={80: port})
    yield address
    objects.remove(f"service-{NAMESPACE}-split")
    for program in programs:
        program.kill()


def _telling(version):
    """A handler for many requests: no more is looked at than where one ends."""
    answer = ok(version)

    def handle(talk, _):
        data = b""
        while more := talk.sock.recv(CHUNK_BYTES):
            data += more
            requests = data.count(b"\r\n\r\n")
            data = data[data.rindex(b"\r\n\r\n") + 4:] if requests else data
            talk.send(answer * requests)
    return handle


def split_objects(v1, v2, subsets=("v1", "v2"), host="split"):
    """VirtualService and DestinationRule, as dicts; the subsets may have any names."""
    first, second = subsets
    return [{"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": host, "namespace": NAMESPACE},
             "spec": {"hosts": [host], "http": [{"route": [
                 {"destination": {"host": host, "subset": first}, "weight": v1},
                 {"destination": {"host": host, "subset": second}, "weight": v2}]}]}},
            {"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": {"name": host, "namespace": NAMESPACE},
             "spec": {"host": host, "subsets": [{"name": first, "labels": {"version": "v1"}},
                                                {"name": second, "labels": {"version": "v2"}}]}}]


@pytest.fixture
def split(shop, versions):
    """split(v1, v2) applies weights, in one file."""
    written = []

    def apply(v1, v2, **options):
        written[:] = [shop.lab.objects.write("split", *split_objects(v1, v2, **options))]
    yield apply
    for path in written:
        path.unlink()


def ask_versions(address, count):
    """Counts of who answered `count` requests on one connection, sent 50 at a time."""
    seen = Counter()
    with connect(address, 80) as sock:
        talk = Talk(sock)
        for sent in range(0, count, 50):
            batch = min(50, count - sent)
            talk.send(get(host="split") * batch)
            for _ in range(batch):
                answer = talk.response()
                seen[answer.body.decode() if answer.status == 200 else f"status {answer.status}"] += 1
    return seen


def await_only(shop, address, version):
    """Until four requests in a row are answered by this version alone."""
    wait_for(lambda: shop.frontend.call(ask_versions, address, 4) == {version: 4}, f"only {version} is asked", interval=0.05)


def test_ninety_of_a_hundred_requests_go_to_v1_within_one_in_a_hundred(shop, versions, split):
    split(0, 100)
    await_only(shop, versions, "v2")
    split(90, 10)
    wait_for(lambda: "v1" in shop.frontend.call(ask_versions, versions, 20), "the weights are in force")
    seen = shop.frontend.call(ask_versions, versions, 20000, timeout=120)
    print(f"90/10 over 20,000 requests: {dict(seen)}")
    assert set(seen) == {"v1", "v2"} and abs(seen["v1"] - 18000) <= 200  # 200 are 4.7 standard deviations


def test_both_pods_of_a_subset_on_both_nodes_get_their_share(shop, versions, split):
    split(100, 0)
    await_only(shop, versions, "v1")
    before = {pod.name: requests_to(shop, pod.name) for pod in shop.backends.values()}
    shop.frontend.call(ask_versions, versions, 200)
    grown = {name: requests_to(shop, name) - count for name, count in before.items()}
    assert sum(grown.values()) == 200 and grown["backend-v2-1"] == 0
    assert grown["backend-v1-1"] > 40 and grown["backend-v1-2"] > 40


def requests_to(shop, pod):
    return requests_counted(shop.a, destination_workload=pod, destination_service_name="split")


def test_an_open_connection_follows_an_edit_from_its_next_request_on(shop, versions, split):
    split(100, 0)
    await_only(shop, versions, "v1")
    task = shop.frontend.spawn(_ask_until_it_changes, versions)
    assert task.hear() == "v1"
    split(0, 100)
    assert task.result(5) == "v2"


def _ask_until_it_changes(say, address):
    with connect(address, 80) as sock:
        talk = Talk(sock)
        first = talk.ask(get(host="split")).body.decode()
        say(first)
        while (now := talk.ask(get(host="split")).body.decode()) == first:
            pass
        return now


def test_a_thousand_edits_under_load_fail_no_request(shop, versions, split):
    """Each edit renames both subsets, in the VirtualService and in the DestinationRule: a request that saw one without the other would
    find no such subset."""
    split(50, 50)
    wait_for(lambda: shop.frontend.call(ask_versions, versions, 20).keys() == {"v1", "v2"}, "the split is in force")
    load = shop.frontend.spawn(_ask_until_told, versions)
    assert load.hear() == "asking"
    for number in range(1000):
        split(number % 101, 100 - number % 101, subsets=(f"one-{number % 2}", f"two-{number % 2}"))
        time.sleep(0.004)  # more often than the folder's watch looks, so that edits meet requests as often as they can
    split(0, 100)
    await_only(shop, versions, "v2")
    os.kill(load.pid, signal.SIGUSR1)
    seen = load.result(30)
    print(f"1,000 edits: {dict(seen)}")
    assert set(seen) == {"v1", "v2"} and sum(seen.values()) > 2000


def _ask_until_told(say, address):
    """Two callers, one on a connection that stays, one with a new one each 10 requests."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    stop, seen = threading.Event(), [Counter(), Counter()]

    def call(mine, each):
        while not stop.is_set():
            try:
                with connect(address, 80) as sock:
                    talk = Talk(sock)
                    for _ in range(each):
                        answer = talk.ask(get(host="split"))
                        mine[answer.body.decode() if answer.status == 200 else f"{answer.status} {answer.body}"] += 1
                        if stop.is_set():
                            break
            except (OSError, EOFError) as error:
                mine[f"{type(error).__name__}: {error}"] += 1
    threads = [threading.Thread(target=call, args=each) for each in zip(seen, (1 << 30, 10))]
    for thread in threads:
        thread.start()
    say("asking")
    signal.sigwait([signal.SIGUSR1])
    stop.set()
    for thread in threads:
        thread.join()
    return seen[0] + seen[1]


def test_the_first_match_wins_and_what_matches_nothing_is_answered_404_here(shop, versions, split):
    def to(subset):
        return [{"destination": {"host": "split", "subset": subset}}]
    rule = split_objects(0, 0)[1]
    path = shop.lab.objects.write("matches", rule, routed([
        {"match": [{"headers": {"x-who": {"exact": "tester"}}}], "route": to("v2")},
        {"match": [{"uri": {"prefix": "/old"}, "method": {"exact": "GET"}}], "route": to("v1")},
        {"match": [{"uri": {"exact": "/new"}}, {"queryParams": {"v": {"exact": "2"}}}], "route": to("v2")}], "split"))
    try:
        wait_for(lambda: shop.frontend.call(ask, versions, 80, get("/nowhere")).status == 404, "the routes are in force")
        asked = [get("/old/thing"), get("/old/thing", "X-Who: tester"), get("/new"), get("/else?v=2")]
        answers = [answer.body for answer in shop.frontend.call(ask_in_turn, versions, 80, asked)]
        assert answers == [b"v1", b"v2", b"v2", b"v2"]
        missed = shop.frontend.call(ask, versions, 80, get("/nowhere"))
        assert missed.header("leat-reason") == "no-route" and missed.header("content-type") == "text/plain"
        assert requests_counted(shop.a, response_code="404", response_flags="NR", destination_service_name="split") >= 2
    finally:
        path.unlink()


@pytest.mark.parametrize("subset, selects", [("no-such", "v1"), ("empty", "v9")])
def test_a_subset_that_is_missing_or_empty_is_answered_503_with_the_reason(shop, versions, subset, selects):
    rule = split_objects(0, 0)[1]
    rule["spec"]["subsets"] = [{"name": "empty", "labels": {"version": selects}}]
    path = shop.lab.objects.write("lost", rule, routed([{"route": [{"destination": {"host": "split", "subset": subset}}]}], "split"))
    try:
        wait_for(lambda: shop.frontend.call(ask, versions, 80, get()).status == 503, "the route is in force")
        answer = shop.frontend.call(ask, versions, 80, get())
        assert answer.header("leat-reason") == ("no-subset" if subset == "no-such" else "no-endpoint")
        assert requests_counted(shop.a, response_code="503", response_flags="UH", destination_service_name="split") >= 1
        said = shop.a.leat("check", check=False).stdout
        assert ("no-such" in said) == (subset == "no-such")
    finally:
        path.unlink()


def test_routes_says_which_line_of_which_object_sends_where(shop, versions, split):
    split(90, 10)
    def listed():
        said = shop.a.leat("routes").stdout
        return "90" in said and said
    said = wait_for(listed, "`leat routes` shows the split")
    assert "split.yaml:" in said and "VirtualService" in said and "v1" in said and "v2" in said
    assert "split" in json.dumps(json.loads(shop.a.leat("routes", "-o", "json").stdout))
