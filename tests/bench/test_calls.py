"""What h2load says, as a sample has it."""
import pytest

import calls
from generator import Broken

SAID = """requests: 103 total, 103 started, 103 done, 100 succeeded, 3 failed, 0 errored, 0 timeout
status codes: 100 2xx, 0 3xx, 0 4xx, 3 5xx
"""


def log(*durations, status=200):
    return "".join(f"1700000000000000\t{status}\t{duration}\n" for duration in durations)


def test_a_sample_has_what_succeeded_what_failed_and_the_percentiles_of_what_was_answered():
    sample = calls._read(SAID, log(*range(1, 101)) + log(9999, 9999, 9999, status=503), 2.0)
    assert (sample["done"], sample["failed"], sample["seconds"]) == (100, {"calls": 3}, 2.0)
    assert (sample["p50_us"], sample["p99_us"]) == (51, 100)


def test_a_run_without_an_answer_is_broken():
    with pytest.raises(Broken):
        calls._read(SAID, log(5, status=503), 1.0)
