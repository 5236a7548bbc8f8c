"""End-to-end tests: real programs in pods of a lab (demo/lab), on this machine's kernel. Run by ./dev test netns, as root.

One two-node lab with Leat serves every test that leaves it whole; a test that breaks things makes its own."""
import os
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "demo"))

from lab import Lab  # noqa: E402  (the path comes first)


def pytest_configure():
    if os.geteuid() != 0:
        pytest.exit("the netns tests make network namespaces: run as root", returncode=2)
    Lab.sweep()
