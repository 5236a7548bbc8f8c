"""Tests of the benchmark's own arithmetic. Pure: nothing is started, no root is needed. Run by ./dev test unit."""
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "bench"), str(REPOSITORY / "demo")]
