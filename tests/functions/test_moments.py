"""Means and moments of the outputs, with fixed keys and limits of 6 standard errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flaxnoise
from cases import CASES, KEY, Case, array
from every import every
from flaxnoise import random, testing

N = 1 << 18
UNBIASED = ["dropout", "gaussian_dropout", "gaussian_noise", "masked_gaussian_noise"]
every_unbiased = every(
    "case", [case for case in CASES if case.name in UNBIASED], ids=lambda case: case.name
)


@every("dtype", ["float32", "bfloat16", "float16"])
@every_unbiased
def test_mean_is_x(case: Case, dtype: str):
    testing.assert_unbiased(case, KEY, array(33, 129, dtype=dtype))


@every("rate", [0.1, 0.498, 0.9])
def test_mean_of_dropout_is_x_in_bfloat16(rate: float):
    """At rates below 2^-9 x/P(keep) rounds to x, so the mean cannot be exact."""
    x = array(33, 129, dtype=jnp.bfloat16)
    testing.assert_unbiased(lambda key, x: flaxnoise.dropout(key, x, rate), KEY, x)


def test_a_scale_rounded_to_bfloat16_would_be_noticed():
    """Planted: P(keep) rounded to x's dtype, as in other libraries; at this rate 0.4 % off."""

    def biased(key: jax.Array, x: jax.Array) -> jax.Array:
        keep = random.keep_mask(key, x.shape, 0.498)
        return jnp.where(keep, x / jnp.asarray(1 - 0.498, x.dtype), 0)

    with pytest.raises(AssertionError, match="standard errors from 0"):
        testing.assert_unbiased(biased, KEY, array(33, 129, dtype=jnp.bfloat16))


@every(
    ("call", "stddev"),
    [
        (lambda x: flaxnoise.gaussian_noise(KEY, x, 0.3) - x, 0.3),
        (lambda x: flaxnoise.gaussian_dropout(KEY, x, 0.2) - x, 0.5),
        (lambda x: flaxnoise.masked_gaussian_noise(KEY, x, 1.0, 0.3) - x, 0.3),
    ],
    ids=["gaussian_noise", "gaussian_dropout", "masked_gaussian_noise"],
)
def test_moments_of_the_noise_are_those_of_a_normal(call, stddev: float):
    n = np.asarray(call(jnp.ones(N)), np.float64) / stddev
    for power, mean, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96), (6, 15, 10170)):
        assert abs(np.mean(n**power) - mean) <= 6 * np.sqrt(variance / N), power


@every("rate", [0.1, 0.5, 0.9])
def test_moments_of_dropout_are_those_of_its_mask(rate: float):
    """E[y^k] = q^(1−k), and each power of y has the variance of a Bernoulli of q."""
    y = np.asarray(flaxnoise.dropout(KEY, jnp.ones(N), rate), np.float64)
    q = 1 - float(random.realised_rate(rate))
    for power in (1, 2, 3):
        standard_error = np.sqrt(q * (1 - q) / N) / q**power
        assert abs(np.mean(y**power) - q ** (1 - power)) <= 6 * standard_error


def test_masked_noise_hits_the_realised_share():
    x = jnp.ones(N)
    share = np.mean(np.asarray(flaxnoise.masked_gaussian_noise(KEY, x, 0.3, 0.7)) != 1)
    rate = float(random.realised_rate(0.3))
    # 1 + 0.7·n rounds to 1 if |n| < 2^-24, once in 10^7 draws.
    assert abs(share - rate) <= 6 * np.sqrt(rate * (1 - rate) / N) + 1e-6
