"""flaxnoise.random returns the noise that the functions use."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import flaxnoise
from cases import KEY, array
from closeness import NOISE_ULPS, assert_same_bits
from every import every
from flaxnoise import random

SHAPE = (33, 129)


def test_masked_noise_is_where_dropout_drops_and_gaussian_noise_s_there():
    x = array(*SHAPE)
    noisy = flaxnoise.masked_gaussian_noise(KEY, x, 0.3, 0.7)
    dropped = flaxnoise.dropout(KEY, x, 0.3) == 0
    everywhere = flaxnoise.gaussian_noise(KEY, x, 0.7)
    assert_same_bits(jnp.where(dropped, 0, noisy), jnp.where(dropped, 0, x))
    error = abs(noisy - everywhere)
    allowed = NOISE_ULPS * 2.0**-23 * (2 * abs(x) + abs(everywhere))
    assert jnp.where(dropped, error <= allowed, True).all()


@every("dtype", ["float16", "bfloat16"])
def test_normals_of_short_dtypes_are_the_float32_ones_rounded_once(dtype: str):
    """They are not drawn in 16 bits: jax.random.normal has only 128 values in bfloat16."""
    narrow = random.normal(KEY, SHAPE, dtype)
    rounded = random.normal(KEY, SHAPE).astype(dtype)
    step = np.spacing(abs(np.asarray(rounded)).astype(dtype)).astype(np.float64)
    difference = np.asarray(narrow, np.float64) - np.asarray(rounded, np.float64)
    assert np.all(abs(difference) <= step)
    assert np.mean(difference != 0) < 0.001
    assert len(np.unique(np.asarray(narrow))) > 500


@every("dtype", ["float16", "bfloat16"])
def test_uniforms_of_short_dtypes_are_the_float32_ones_rounded_once(dtype: str):
    assert_same_bits(random.uniform(KEY, SHAPE, dtype), random.uniform(KEY, SHAPE).astype(dtype))


def test_uniforms_are_inside_the_open_interval():
    u = random.uniform(KEY, (1 << 16,))
    assert ((u > 0) & (u < 1)).all()
    # The mean of n uniforms is off by 6 standard errors of 1/√(12·n) once in 5·10^8 keys.
    assert abs(u.mean() - 0.5) <= 6 / np.sqrt(12 * u.size)


@every("shape", [(), (7,), (33, 129)])
def test_jit_and_traced_rates_change_nothing(shape: tuple[int, ...]):
    traced = jax.jit(random.keep_mask, static_argnums=1)
    assert_same_bits(traced(KEY, shape, 0.3), random.keep_mask(KEY, shape, 0.3))
    for rate, counts_as in ((-1.0, 0), (2.0, 1), (jnp.nan, 1)):
        assert_same_bits(traced(KEY, shape, rate), random.keep_mask(KEY, shape, counts_as))


def test_a_rate_for_each_row():
    rates = jnp.array([[0.0], [0.3], [1.0]])
    mask = random.keep_mask(KEY, (3, 129), rates)
    assert mask[0].all()
    assert_same_bits(mask[1], random.keep_mask(KEY, (3, 129), 0.3)[1])
    assert not mask[2].any()


def test_a_higher_rate_drops_what_a_lower_one_drops_and_more():
    masks = [random.keep_mask(KEY, SHAPE, rate) for rate in (0, 1e-4, 0.1, 0.3, 0.9, 0.9999, 1)]
    for more, fewer in itertools.pairwise(masks):
        assert not (fewer & ~more).any()


@settings(deadline=None, derandomize=True, max_examples=200)
@given(st.floats(0, 1, width=32))
def test_realised_rates_are_close_and_exact_at_the_ends(rate: float):
    realised = float(random.realised_rate(rate))
    smallest = 2.0**-31
    assert abs(realised - rate) <= max(min(rate, 1 - rate) / 128, smallest)
    assert (realised == 0) == (rate == 0)
    # The largest rates below 1 are realised as 1 − T/2^31, which may round to 1 in float32.
    assert (realised == 1) == (rate == 1) or rate > 1 - 2.0**-23


@every("rate", [0.1, 0.5, 1 / 3, 0.9, 0.999, 2.0**-16])
def test_what_is_kept_is_scaled_by_the_realised_rate(rate: float):
    """With 8-bit thresholds rate 0.1 would be realised as 0.1016, but scaled by 1/0.9."""
    y = flaxnoise.dropout(KEY, jnp.ones(1 << 16), rate)
    scale = jnp.max(y)
    assert_same_bits(scale, 1 / (1 - random.realised_rate(rate)))
    assert set(np.unique(np.asarray(y))) <= {0, float(scale)}
