"""The few statistics that the tables need. Samples of one round belong together: what disturbed the machine then disturbed all columns."""
import math
import statistics


def five(values):
    """Minimum, first quartile, median, third quartile, maximum."""
    values = sorted(values)
    if len(values) == 1:
        return values * 5
    return [values[0], *statistics.quantiles(values, n=4, method="inclusive"), values[-1]]


def paired(mine, base, combine=lambda a, b: a / b):
    """By round: `mine` and `base` map round to value; rounds that only one of them has are left out."""
    return [combine(mine[number], base[number]) for number in sorted(mine.keys() & base.keys())]


def steady(values):
    """False where the first quartiles of the two halves of a series differ by more than a tenth: the machine changed meanwhile."""
    half = len(values) // 2
    if half < 3:
        return True
    first, second = five(values[:half])[1], five(values[half:])[1]
    return abs(first - second) <= 0.1 * min(abs(first), abs(second))


def ratio_interval(ratios):
    """(centre, low, high): the Hodges-Lehmann estimate of a ratio and its 95 % interval, on the logarithms. No assumption about how the
    noise is distributed, but that it disturbs both alike. None for fewer than 6 ratios: no interval of that kind reaches 95 %."""
    found = _shift_interval([math.log(ratio) for ratio in ratios])
    return found and tuple(math.exp(value) for value in found)


def difference_interval(differences):
    """The same for differences."""
    return _shift_interval(differences)


def _shift_interval(values):
    """Median of all pairwise means, and the order statistics of them that Wilcoxon's signed-rank test at 5 % does not reject."""
    outside = _signed_rank_tail(len(values), 0.025)
    if not outside:
        return None
    means = sorted((a + b) / 2 for index, a in enumerate(values) for b in values[index:])
    return statistics.median(means), means[outside - 1], means[-outside]


def _signed_rank_tail(count, probability):
    """The largest k with P(signed-rank sum < k) <= probability, from the exact distribution: subsets of 1..count by their sum."""
    largest = count * (count + 1) // 2
    ways = [1] + [0] * largest
    for rank in range(1, count + 1):
        for total in range(largest, rank - 1, -1):
            ways[total] += ways[total - rank]
    below, k = 0, 0
    while below + ways[k] <= probability * 2 ** count:
        below += ways[k]
        k += 1
    return k
