"""Distributions of the elementwise noises: moments and counts, with planted defects."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import flaxnoise
from cases import KEY
from closeness import assert_same_bits, assert_within_ulps
from every import every
from flaxnoise import random
from flaxnoise.stream import variates
from flaxnoise.stream.kinds import DOMAINS
from reference import key_words, words
from scores import LIMIT, chi_square, count

DRAWS = 1 << 20
NORMALS = random.normal(jax.random.key(3), (DRAWS,))
CELLS = 1024


def mean_score(values: np.ndarray, mean: float, variance: float) -> float:
    return abs(values.mean(dtype=np.float64) - mean) / np.sqrt(variance / values.size)


def uniform_score(u: np.ndarray) -> float:
    """Returns the χ² score of values that should be uniform on (0, 1)."""
    return chi_square(np.histogram(u, CELLS, (0, 1))[0], 1 / CELLS)


@every("rate", [0.05, 0.3, 0.9])
def test_alpha_dropout_keeps_mean_0_and_variance_1(rate: float):
    y = np.asarray(flaxnoise.alpha_dropout(KEY, NORMALS, rate), np.float64)
    # Planted: dropout to 0, scaled to variance 1, has the right mean and variance, but a wrong
    # fourth moment and dropped value. α′ without A and B has a wrong mean and variance.
    planted = np.where(random.keep_mask(KEY, y.shape, rate), NORMALS, -1.7580993408473766)
    fourth = np.mean((y - y.mean()) ** 4)
    assert mean_score(y, 0, 1) < LIMIT
    assert mean_score(y**2, 1, fourth - 1) < LIMIT
    assert mean_score(planted, 0, 1) > LIMIT
    assert mean_score(planted**2, 1, fourth - 1) > LIMIT
    q = 1 - float(random.realised_rate(rate))
    alpha = -1.7580993408473766
    slope = (q + alpha**2 * q * (1 - q)) ** -0.5
    (dropped,) = np.unique(y[~np.asarray(random.keep_mask(KEY, y.shape, rate))])
    assert abs(dropped - slope * alpha * q) <= 4 * 2.0**-23 * abs(dropped)


def test_feature_alpha_dropout_is_alpha_dropout_of_maps():
    x = NORMALS[: 4 * 5 * 7 * 33].reshape(4, 5, 7, 33)
    y = flaxnoise.feature_alpha_dropout(KEY, x, 0.3)
    assert_same_bits(y, flaxnoise.alpha_dropout(KEY, x, 0.3, broadcast_dims=(1, 2)))
    assert_same_bits(flaxnoise.feature_alpha_dropout(KEY, x, 0.0), x)
    assert_same_bits(flaxnoise.feature_alpha_dropout(KEY, x, 1.0), jnp.zeros_like(x))
    with pytest.raises(ValueError, match=r"feature_alpha_dropout: x must have at least 2 dim"):
        flaxnoise.feature_alpha_dropout(KEY, jnp.ones(3), 0.3)


def test_laplace_noise_has_the_law_of_laplace():
    n = np.asarray(flaxnoise.laplace_noise(KEY, jnp.zeros(DRAWS), 1.0), np.float64)
    assert uniform_score(scipy.stats.laplace.cdf(n)) < LIMIT
    assert mean_score(n, 0, 2) < LIMIT
    assert mean_score(n**2, 2, 20) < LIMIT
    for planted in (np.abs(n), 1.02 * n, np.clip(n, -3, 3), np.asarray(NORMALS) * np.sqrt(2)):
        assert uniform_score(scipy.stats.laplace.cdf(planted)) > LIMIT


def test_laplace_of_directed_words_is_finite_and_exact():
    edges = [0, 1, 2, 3, 2**31 - 1, 2**31, 2**31 + 1, 2**32 - 2, 2**32 - 1]
    near = np.arange(2**32 - 4096, 2**32, dtype=np.uint64)
    w = np.concatenate([edges, near]).astype(np.uint32)
    n = np.asarray(jax.jit(variates.laplace)(w), np.float64)
    v = (w >> np.uint32(1)).astype(np.float32)
    u = np.minimum((v + np.float32(0.5)) * np.float32(2.0**-31), np.float32(1 - 2.0**-24))
    expected = -np.log(u.astype(np.float64)) * np.where(w & np.uint32(1), -1, 1)
    assert np.isfinite(n).all()
    assert (n != 0).all()
    assert np.abs(n).max() < 22.2
    # Half of −2 ln u: the error is that of the polynomial and of one sum.
    assert (np.abs(n - expected) <= 4 * 2.0**-24 * np.abs(expected)).all()


def test_laplace_reads_words_of_its_own_domain():
    i = np.arange(1025, dtype=np.uint64)
    n = random.laplace(KEY, (1025,))
    with jax.enable_x64(True):
        again = jax.jit(variates.laplace)(words(key_words(KEY), i, DOMAINS["laplace"]))
    assert_within_ulps(n, again, n, ulps=8)


@every("function", [flaxnoise.uniform_noise, flaxnoise.multiplicative_uniform])
def test_uniform_noise_has_the_uniform_law(function):
    n = np.asarray(function(KEY, jnp.ones(DRAWS), 1.0), np.float64) - 1
    assert uniform_score((n + 1) / 2) < LIMIT
    assert mean_score(n, 0, 1 / 3) < LIMIT
    assert uniform_score((0.98 * n + 1) / 2) > LIMIT
    assert uniform_score((np.asarray(NORMALS) / np.sqrt(3) + 1) / 2) > LIMIT


@every("rate", [2.0**-16, 0.1, 0.5, 1.0])
def test_half_of_what_is_replaced_is_low(rate: float):
    y = np.asarray(flaxnoise.salt_and_pepper_noise(KEY, jnp.full(DRAWS, 0.5), rate))
    assert set(np.unique(y)) <= {0.0, 0.5, 1.0}
    share = float(random.realised_rate(rate))
    for hits in ((y == 0).sum(), (y == 1).sum()):
        assert count(hits, DRAWS, share / 2) < LIMIT
    if rate >= 0.1:  # planted: 1 % more
        assert count(int(1.01 * DRAWS * share / 2 + 2000), DRAWS, share / 2) > LIMIT
    np.testing.assert_array_equal(y == 0.5, random.keep_mask(KEY, (DRAWS,), rate))


def test_what_salt_and_pepper_spare_is_x_itself():
    odd = jnp.resize(jnp.array([jnp.nan, -0.0, 1e-45, jnp.inf], jnp.float32), 1024)
    y = flaxnoise.salt_and_pepper_noise(KEY, odd, 0.5, -7.0, 7.0)
    keep = np.asarray(random.keep_mask(KEY, (1024,), 0.5))
    assert_same_bits(y[keep], odd[keep])
    assert set(np.unique(y[~keep])) == {-7.0, 7.0}


def test_gradients_of_low_and_high_are_counts_and_summed_in_float32():
    x = jnp.ones(4096, jnp.bfloat16)
    gradient = jax.grad(
        lambda low, high: flaxnoise.salt_and_pepper_noise(KEY, x, 0.5, low, high).sum(dtype=float),
        (0, 1),
    )
    y = flaxnoise.salt_and_pepper_noise(KEY, x, 0.5, -1.0, 2.0)
    low, high = gradient(-1.0, 2.0)
    assert (low, high) == ((y == -1).sum(), (y == 2).sum())
    assert float(low) != float(low.astype(jnp.bfloat16))


def test_mistakes_are_named():
    x = jnp.ones(3)
    with pytest.raises(ValueError, match=r"uniform_noise: scale must be finite and ≥ 0, got -1.0"):
        flaxnoise.uniform_noise(KEY, x, -1.0)
    with pytest.raises(ValueError, match=r"salt_and_pepper_noise: high must be finite, got inf"):
        flaxnoise.salt_and_pepper_noise(KEY, x, 0.1, high=jnp.inf)
    with pytest.raises(TypeError, match=r"alpha_dropout: x must be floating, got complex64"):
        flaxnoise.alpha_dropout(KEY, x + 0j, 0.1)
