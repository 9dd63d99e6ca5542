"""Scores: how many standard deviations a statistic of random data is from its expected value.

Keys are fixed, so a score is the same in every run. Scores below LIMIT are chance even for the
largest of millions (7σ: 1 in 4·10^11); the planted defects of the tests score above it.
"""

import numpy as np
import scipy.fft
from numpy.typing import NDArray

LIMIT = 7.0


def count(hits: int, draws: int, probability: float) -> float:
    """Scores a number of hits, which is binomial."""
    expected = draws * probability
    return abs(hits - expected) / np.sqrt(expected * (1 - probability))


def chi_square(counts: NDArray, probabilities: NDArray | float) -> float:
    """Scores the counts of disjoint cells."""
    expected = counts.sum() * np.broadcast_to(probabilities, counts.shape)
    freedom = counts.size - 1
    return abs(np.sum((counts - expected) ** 2 / expected) - freedom) / np.sqrt(2 * freedom)


def dispersion(sums: NDArray, variance: float) -> float:
    """Scores the variance of sums whose mean should be 0, too small as well as too large."""
    return abs(np.sum(sums**2) / variance - sums.size) / np.sqrt(2 * sums.size)


def largest_sum(sums: NDArray, variance: float) -> float:
    """Scores the sum that is furthest from its mean 0."""
    return float(np.abs(sums).max() / np.sqrt(variance))


def row_correlations(rows: NDArray) -> float:
    """Scores the largest correlation between two rows of standardised data."""
    products = rows @ rows.T / np.float32(np.sqrt(rows.shape[1]))
    np.fill_diagonal(products, 0)
    return float(np.abs(products).max())


def lag_correlations(a: NDArray, b: NDArray | None = None) -> float:
    """Scores the largest circular correlation of standardised a with b, or itself (but lag 0)."""
    first = scipy.fft.rfft(a.astype(np.float32))
    second = first if b is None else scipy.fft.rfft(b.astype(np.float32))
    products = scipy.fft.irfft(first * second.conj(), a.size) / np.sqrt(a.size)
    return float(np.abs(products[b is None :]).max())
