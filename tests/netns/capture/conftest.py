"""Fixtures of capture's tests: one machine of namespaces for all of them, wiped clean after each."""
import os

import pytest
from capture_node import DRIVER, Node


@pytest.fixture(scope="session")
def machine():
    if os.geteuid() != 0:
        pytest.skip("capture's tests need root")
    if not os.path.exists(DRIVER):
        pytest.fail(f"{DRIVER} is not built")
    node = Node()
    yield node
    node.close()


@pytest.fixture
def node(machine):
    yield machine
    machine.reset()
