"""A running mesh for tests, and what tests ask it."""
import contextlib
import json
import os
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "demo"))

from lab import Lab, LeatMissing, wait_for  # noqa: E402  (the path comes first)
from shop import NAMESPACE, Shop  # noqa: E402

PLAIN = bool(os.environ.get("LEAT_PLAIN"))
asks_leat = pytest.mark.skipif(PLAIN, reason="asks Leat, and LEAT_PLAIN is set")
running = []  # the shops that are up now


@contextlib.contextmanager
def running_shop(enrol=True, **settings):
    """A shop in a lab of its own; `settings` go into the Mesh object."""
    with Lab("test") as lab:
        try:
            shop = Shop(lab, start_leat=not PLAIN)
        except LeatMissing as missing:
            pytest.skip(str(missing))
        if settings:
            lab.objects.mesh(**settings)
        if enrol and not PLAIN:
            shop.enrol()
        running.append(shop)
        try:
            yield shop
        finally:
            running.remove(shop)


@contextlib.contextmanager
def shop_without_leat(needs="leat-agent"):
    """A shop whose agents and proxies the test starts itself; skips it where the program that it `needs` was not built."""
    with Lab("test") as lab:
        try:
            lab.binary(needs)
        except LeatMissing as missing:
            pytest.skip(str(missing))
        shop = Shop(lab, start_leat=False)
        running.append(shop)
        try:
            yield shop
        finally:
            running.remove(shop)


@contextlib.contextmanager
def strict(shop, namespace=NAMESPACE, **options):
    """The namespace takes mesh traffic only, while this is entered."""
    objects = shop.lab.objects
    objects.peer_authentication("strict", namespace, "STRICT", **options)
    try:
        yield
    finally:
        objects.remove(f"peerauthentication-{namespace}-strict")


def flows(node, timeout=5.0, **wanted):
    """Waits for records of `leat flows` on this node that have all of these fields, and returns them."""
    def matching():
        return [flow for flow in node.flows() if all(flow.get(key) == value for key, value in wanted.items())]
    return wait_for(matching, f"{node.name}: a flow with {wanted}", timeout, interval=0.05)


def no_flows(node, **wanted):
    """Whether no record has all of these fields, now."""
    return not [flow for flow in node.flows() if all(flow.get(key) == value for key, value in wanted.items())]


def proxy_memory_kib(shop):
    """What the data processes of all proxies have for themselves."""
    total = 0
    for node in shop.lab.nodes:
        for pid in node.worker_pids():
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as smaps:
                total += next(int(line.split()[1]) for line in smaps if line.startswith("Pss:"))
    return total


def metrics(node):
    return json.loads(node.leat("metrics", "-o", "json").stdout)


def counted(node, name, **labels):
    """The sum of a metric over all of its series on this node with all of these labels."""
    return sum(each["value"] for each in metrics(node) if each["name"] == name and labels.items() <= each["labels"].items())


def requests_counted(node, **labels):
    """How many HTTP requests this node's proxy counted with all of these labels."""
    return counted(node, "istio_requests_total", **labels)
