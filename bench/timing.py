"""Samples of wall and CPU time, taken in turn, and what is kept of them."""

import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

Work = Callable[[], object]
Wait = Callable[[object], object]
SAMPLE = 5e-3  # seconds that a sample takes at least, so that clocks are fine enough


class Spread(NamedTuple):
    """Seconds a call: the median, its 95 % interval, and the quartiles."""

    median: float
    low: float
    high: float
    quartiles: tuple[float, float]


def seconds(work: Work, repeats: int = 1, wait: Wait = lambda result: None) -> tuple[float, float]:
    """(wall, CPU) seconds; CPU time is that of all threads of this process.

    Args:
        work: what to do.
        repeats: how often.
        wait: for the last result, where calls are only put in a queue.
    """
    wall, cpu_time = time.perf_counter(), time.process_time()
    result = None
    for _ in range(repeats):
        result = None  # goes at once, so that its memory serves the next call
        result = work()
    wait(result)
    return time.perf_counter() - wall, time.process_time() - cpu_time


def interleaved(
    works: Sequence[Work], rounds: int, wait: Wait = lambda result: None
) -> list[np.ndarray]:
    """float[rounds, 2] for each of the works: (wall, CPU) seconds a call.

    Every round takes a sample of each in turn, so that they share what disturbs them. All are
    warm: the first call, with its caches, pages and compilation, is not counted.
    """
    repeats = []
    for work in works:
        seconds(work, wait=wait)
        once = min(seconds(work, wait=wait)[0] for _ in range(2))
        repeats.append(max(1, int(SAMPLE / max(once, 1e-7))))
    samples = np.empty((len(works), rounds, 2))
    for turn in range(rounds):
        for place, work in enumerate(works):
            samples[place, turn] = np.divide(seconds(work, repeats[place], wait), repeats[place])
    return list(samples)


def spread(values: np.ndarray) -> Spread:
    """Of the samples of one clock."""
    ordered = np.sort(values)
    rank = _rank(len(ordered))
    first, median, third = np.quantile(ordered, (0.25, 0.5, 0.75))
    return Spread(
        float(median),
        float(ordered[rank]),
        float(ordered[-1 - rank]),
        (float(first), float(third)),
    )


def _rank(count: int) -> int:
    """The largest k for which the k-th least and k-th largest samples enclose the median, 95 %.

    Each sample is below the true median with probability ½ whatever its distribution, so that the
    number of those below is binomial. With 5 samples or fewer, all there is is their range.
    """
    below, rank = 2.0**-count, 0
    while rank < count // 2 and below <= 0.025:
        rank += 1
        below += math.comb(count, rank) * 2.0**-count
    return max(rank - 1, 0)
