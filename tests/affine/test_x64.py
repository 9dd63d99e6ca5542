"""64-bit mode does not change the noise, and float64 arrays have that of float32 arrays."""

import jax
import jax.numpy as jnp
import numpy as np

from cases import KEY, Case, array, every_case, few_cases
from closeness import assert_same_bits
from every import every
from flaxnoise import random

SHAPE = (33, 129)


@every_case
def test_float32_arrays_are_treated_alike(case: Case):
    x = array(*SHAPE)
    expected = case(KEY, x)
    with jax.enable_x64(True):
        case.assert_equal(case(KEY, x), expected, x)
        params = [np.float64(value) for value in case.params]
        case.assert_equal(case(KEY, x, *params), expected, x)


@few_cases
def test_gradients_of_float32_arrays_are_alike(case: Case):
    x, weights = array(*SHAPE), array(*SHAPE, seed=1)

    def gradient() -> jax.Array:
        return jax.jit(jax.grad(lambda x: jnp.vdot(weights, case(KEY, x))))(x)

    expected = gradient()
    with jax.enable_x64(True):
        case.assert_equal(gradient(), expected, weights)


@every_case
def test_float64_arrays_get_the_same_noise(case: Case):
    """Computed in double precision: float32 results are the same values up to their roundings."""
    with jax.enable_x64(True):
        x = array(*SHAPE, dtype=jnp.float64)
        y = case(KEY, x)
        case.assert_equal(y, jax.jit(case.expected)(KEY, x), x)
    narrow = x.astype(np.float32)
    # x, each coefficient, product and sum are rounded once in float32, and y once more.
    error = abs(np.asarray(y) - np.asarray(case(KEY, narrow), np.float64))
    assert np.all(error <= (8 + 5) * 2.0**-23 * (abs(np.asarray(x)) + abs(np.asarray(y))))


@every("rate", [0.1, 0.5, 1 / 3, 2.0**-16, 1 - 2.0**-16, 1e-5])
def test_masks_and_words_are_the_same_bits(rate: float):
    def draw() -> list[jax.Array]:
        return [
            random.bits(KEY, SHAPE),
            random.uniform(KEY, SHAPE),
            random.keep_mask(KEY, SHAPE, rate),
            random.realised_rate(rate),
        ]

    expected = draw()
    with jax.enable_x64(True):
        for wide, narrow in zip(draw(), expected, strict=True):
            assert_same_bits(wide, narrow)


def test_float64_normals_are_the_float32_ones():
    with jax.enable_x64(True):
        wide = random.normal(KEY, SHAPE, jnp.float64)
        narrow = random.normal(KEY, SHAPE, jnp.float32)
        assert_same_bits(wide, narrow.astype(jnp.float64))
