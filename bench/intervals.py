"""Medians of samples and their 95 % confidence intervals."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

NARROW = 0.10  # an interval that ends within ±10 % of the median


class Spread(NamedTuple):
    """A median and its 95 % interval."""

    median: float
    low: float
    high: float

    @property
    def width(self) -> float:
        """The larger distance from the median to an end, relative to the median."""
        return max(self.high - self.median, self.median - self.low) / abs(self.median)

    @property
    def is_narrow(self) -> bool:
        """Whether the number may be printed in README."""
        return self.width < NARROW


def spread(samples: Sequence[float]) -> Spread:
    """Returns the median of samples, times or ratios, and its interval."""
    ordered = np.sort(np.asarray(samples))
    rank = _rank(len(ordered))
    low, median, high = ordered[rank], np.median(ordered), ordered[-1 - rank]
    return Spread(float(median), float(low), float(high))


def ratio(a: Sequence[float], b: Sequence[float], *, paired: bool) -> Spread:
    """Returns the ratio a / b and its interval.

    Args:
        a: samples of the numerator.
        b: samples of the denominator.
        paired: whether sample i of both was taken in the same round. Then the interval is that of
            the rounds' ratios; otherwise it combines the ends of both intervals and is wider.
    """
    if paired:
        return spread([x / y for x, y in zip(a, b, strict=True)])
    above, below = spread(a), spread(b)
    median = above.median / below.median
    return Spread(median, above.low / below.high, above.high / below.low)


def _rank(count: int) -> int:
    """The largest index k for which the samples k and −1 − k, sorted, enclose the median with 95 %.

    Each sample is below the true median with probability ½ whatever its distribution, so the number
    of samples below it is binomial. For 5 samples or fewer the interval is their range.
    """
    below, rank = 2.0**-count, 0
    while rank < count // 2 and below <= 0.025:
        rank += 1
        below += math.comb(count, rank) * 2.0**-count
    return max(rank - 1, 0)
