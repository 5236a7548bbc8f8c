"""Tests on a real Kubernetes of two nodes (nodes/, `cluster`). Run by ./dev test cluster, as root; --all runs the long ones too.

`kube` is the cluster, for tests that leave it as it was. It is taken as it is if it is up already, and left so; else it is started, and ended
after the last test. Where the machine can't have one every test is skipped, with the reason."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
from kube import Kube, wait_for, why_not  # noqa: E402
from nodes import cluster  # noqa: E402
from nodes.layout import REPOSITORY  # noqa: E402

from images.build import IMAGES, PROGRAMS  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true", help="the long tests, too")


def pytest_configure(config):
    config.addinivalue_line("markers", "long: takes minutes; runs with --all only")


def pytest_collection_modifyitems(config, items):
    reason = why_not()
    for item in items:
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))
        elif item.get_closest_marker("long") and not config.getoption("--all"):
            item.add_marker(pytest.mark.skip(reason="a long test: --all runs it"))


@pytest.fixture(scope="session")
def kube():
    was_up = bool(cluster.nodes())
    cluster.up()
    try:
        yield Kube()
    finally:
        if not was_up and "LEAT_CLUSTER_KEEP" not in os.environ:
            cluster.down()


@pytest.fixture(scope="session")
def images(kube):
    """Leat's, as they were built here, on every node."""
    subprocess.run(["/usr/bin/python3", REPOSITORY / "images" / "build.py"], check=True, stdout=subprocess.DEVNULL)
    for image in PROGRAMS:
        cluster.load(IMAGES / f"{image}.tar")


@pytest.fixture(scope="module")
def shop(kube):
    """The application, before anybody has heard of Leat."""
    with kube.applied("shop.yaml"):
        for name in ("frontend", "backend-v1", "backend-v2"):
            kube.kubectl("-n", "shop", "rollout", "status", f"deployment/{name}", "--timeout=120s")
        yield


@pytest.fixture(scope="module")
def leat(kube, images, shop):
    """Leat on the cluster, and the application in the mesh."""
    kube.install()
    try:
        wait_for(lambda: len(kube.enrolled()) == 4, "the application is enrolled", timeout=60, interval=0.5)
        yield
    finally:
        kube.uninstall()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """A failure shows what the cluster, the agents and the proxies say."""
    report = (yield).get_result()
    if report.failed and cluster.nodes():
        for words in (["get", "pods", "-A", "-o", "wide"], ["-n", "leat-system", "logs", "-l", "app.kubernetes.io/part-of=leat", "--tail=30", "--prefix"]):
            try:
                report.sections.append((f"kubectl {' '.join(words)}", cluster.kubectl(*words)[-4000:]))
            except RuntimeError as error:
                report.sections.append((f"kubectl {' '.join(words)}", str(error)))
