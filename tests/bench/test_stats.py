"""The benchmark's statistics, against values worked out by hand, published tables, and noise with a known centre."""
import math
import random

import pytest

import stats


def test_five_numbers_of_a_series():
    assert stats.five([5, 1, 4, 2, 3]) == [1, 2, 3, 4, 5]
    assert stats.five([7]) == [7] * 5


def test_only_rounds_that_both_have_are_paired():
    assert stats.paired({0: 2.0, 1: 9.0, 3: 6.0}, {0: 1.0, 2: 5.0, 3: 4.0}) == [2.0, 1.5]


@pytest.mark.parametrize("count, published", [(6, 1), (7, 3), (8, 4), (9, 6), (10, 9), (20, 53), (30, 138)])
def test_the_signed_rank_tail_is_the_published_one(count, published):
    """Tables give the largest rejected sum w; the interval begins at the order statistic w + 1."""
    assert stats._signed_rank_tail(count, 0.025) == published


def test_no_interval_is_made_from_five_ratios():
    assert stats.ratio_interval([1.0] * 5) is None
    assert stats.ratio_interval([1.0] * 6) == (1.0, 1.0, 1.0)


def test_one_wild_round_moves_the_interval_little():
    calm = [0.98, 0.99, 1.0, 1.0, 1.01, 1.02] * 4
    centre, low, high = stats.ratio_interval([*calm, 5.0])
    assert 0.98 < low <= centre <= high < 1.03


def test_the_interval_holds_the_true_ratio_nineteen_times_in_twenty():
    seed = random.randrange(2 ** 32)
    noise = random.Random(seed)
    runs = 600
    held = 0
    for _ in range(runs):
        _, low, high = stats.ratio_interval([1.2 * math.exp(noise.gauss(0, 0.1)) for _ in range(9)])
        held += low <= 1.2 <= high
    assert 0.91 < held / runs < 0.99, f"seed {seed}"


def test_differences_have_an_interval_too():
    centre, low, high = stats.difference_interval([0.4, 0.5, 0.6, 0.5, 0.5, 0.4, 0.6])
    assert low <= centre <= high
    assert centre == pytest.approx(0.5)


def test_a_series_whose_level_changed_is_not_steady():
    assert stats.steady([10, 10, 11, 10, 10, 11])
    assert not stats.steady([10, 10, 11, 14, 14, 15])
