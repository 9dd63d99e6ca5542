"""Normals follow the normal distribution: the bulk, the tails, and pairs of neighbours."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from numpy.typing import NDArray

import scores
from every import every
from flaxnoise import random
from scores import LIMIT

KEY = jax.random.key(77)
SIZE = 1 << 24
CELLS = 4096


@functools.cache
def normals() -> NDArray[np.float32]:
    return np.asarray(random.normal(KEY, SIZE))


def moments(n: NDArray) -> float:
    """Scores the means of n, n², n³, n⁴ and n⁶ against the moments of a normal."""
    n = n.astype(np.float64)
    square = n * n
    powers = [(n, 0, 1), (square, 1, 2), (square * n, 0, 15), (square**2, 3, 96)]
    powers.append((square**3, 15, 10170))
    return max(
        abs(power.mean() - mean) * np.sqrt(n.size / variance) for power, mean, variance in powers
    )


def test_moments_are_those_of_a_normal():
    assert moments(normals()) < LIMIT


def test_a_sum_of_twelve_uniforms_is_seen_by_its_moments():
    assert moments(np.asarray(random.uniform(KEY, (12, 1 << 21))).sum(axis=0) - 6) > LIMIT


def cells(u: NDArray) -> float:
    """Returns the χ² score of uniforms on (0, 1) in cells of equal width."""
    counts = np.bincount((u * CELLS).astype(np.int64), minlength=CELLS)
    return scores.chi_square(counts, 1 / CELLS)


def normal_cells(n: NDArray) -> float:
    """The χ² score in cells of equal probability; float64, where Φ of the largest n is below 1."""
    return cells(scipy.special.ndtr(n.astype(np.float64)))


def test_cells_of_equal_probability_are_equally_full():
    assert normal_cells(normals()) < LIMIT
    assert cells(np.asarray(random.uniform(KEY, SIZE))) < LIMIT


def test_normals_of_few_distinct_values_are_seen():
    assert normal_cells(normals().astype(jnp.bfloat16)) > LIMIT


def tails(n: NDArray) -> float:
    """Scores the counts above 3, 3.5 … 5, below −3 … −5, and both together."""
    tables = [(n, 1), (-n, 1), (np.abs(n), 2)]
    return max(
        scores.count(int((table > end).sum()), n.size, sides * scipy.special.ndtr(-end))
        for table, sides in tables
        for end in np.arange(3, 5.5, 0.5)
    )


def test_tails_have_the_right_weight():
    assert tails(normals()) < LIMIT


@every("end", [3.4, 4.4])
def test_clipped_tails_are_seen(end):
    assert tails(np.clip(normals(), -end, end)) > LIMIT


def pair_products(pairs: NDArray) -> float:
    """Scores correlations within pairs of normals: plain, of squares, and mixed."""
    pairs = pairs.astype(np.float64)
    kinds = [pairs, (pairs**2 - 1) / np.sqrt(2)]
    sums = [first[:, 0] @ second[:, 1] for first in kinds for second in kinds]
    return max(scores.largest_sum(product, len(pairs)) for product in sums)


def angles(pairs: NDArray) -> float:
    """The χ² score of the direction of a pair, in cells not aligned with the octants of the map."""
    turn = np.arctan2(pairs[:, 1], pairs[:, 0]) / (2 * np.pi) % 1
    return scores.chi_square(np.bincount((turn * 1000).astype(np.int64), minlength=1000), 1e-3)


def radii(pairs: NDArray) -> float:
    """Returns the χ² score of the radius of a pair, in cells of equal probability."""
    return cells(np.exp(-0.5 * np.sum(pairs.astype(np.float64) ** 2, axis=1)))


def test_the_two_normals_of_a_pair_are_independent():
    pairs = normals()[: 1 << 22].reshape(-1, 2)
    assert pair_products(pairs) < LIMIT
    assert angles(pairs) < LIMIT
    assert radii(pairs) < LIMIT


def test_the_four_normals_of_a_block_are_independent():
    blocks = normals()[: 1 << 22].reshape(-1, 4)
    assert max(pair_products(blocks[:, [i, j]]) for i in range(4) for j in range(i)) < LIMIT


@every("statistic", [pair_products, angles, radii])
def test_one_cosine_for_both_normals_is_seen(statistic):
    """Planted: r·cos θ twice, the second time with a sign of its own."""
    first = normals()[: 1 << 21]
    sign = 2 * np.asarray(random.keep_mask(KEY, first.size, 0.5), np.float32) - 1
    assert statistic(np.stack([first, sign * first], axis=1)) > LIMIT


def test_normals_are_not_correlated_at_any_lag():
    assert scores.lag_correlations(normals()[: 1 << 22]) < LIMIT
