"""Shapes from scalars to six dimensions: the noise only depends on the linear index."""

import jax
import jax.numpy as jnp
from hypothesis import given, settings
from hypothesis import strategies as st

import flaxnoise
from cases import KEY, Case, array, every_case, few_cases
from closeness import assert_same_bits
from every import every
from flaxnoise import random

SHAPES = [(60,), (4, 15), (2, 1, 5, 6), (5, 2, 1, 3, 1, 2)]


@every_case
def test_reshaping_an_array_does_not_change_its_noise(case: Case):
    flat = array(60)
    expected = jax.jit(case.expected)(KEY, flat)
    for shape in SHAPES:
        y = case(KEY, flat.reshape(shape))
        assert y.shape == shape
        case.assert_equal(y.reshape(60), expected, flat)


@every_case
def test_a_longer_array_begins_as_a_shorter_one_of_its_chunk(case: Case):
    x = array(33)
    case.assert_equal(case(KEY, x)[:7], case(KEY, x[:7]), x[:7])


@every("shape", [(), (1, 1, 1)])
@few_cases
def test_one_element(case: Case, shape: tuple[int, ...]):
    x = array(*shape)
    y, pull = jax.vjp(lambda x: case(KEY, x), x)
    case.assert_equal(y, jax.jit(case.expected)(KEY, x), x)
    case.assert_equal(pull(x)[0], case.tangent(KEY, x, x), x)


@every("shape", [(0,), (3, 0, 5)])
@few_cases
def test_no_element(case: Case, shape: tuple[int, ...]):
    x = jnp.zeros(shape, jnp.bfloat16)
    y, pull = jax.vjp(lambda x: case(KEY, x), x)
    for result in (y, pull(x)[0], jax.vmap(lambda x: case(KEY, x))(jnp.stack([x, x]))[0]):
        assert (result.shape, result.dtype) == (shape, x.dtype)


sizes = st.lists(st.integers(1, 9), max_size=4).map(tuple)


@settings(deadline=None, derandomize=True, max_examples=12)
@given(shape=sizes, rate=st.floats(0, 1, width=32), dtype=st.sampled_from(["float32", "bfloat16"]))
def test_dropout_is_its_mask_and_its_scale_exactly(shape: tuple[int, ...], rate: float, dtype: str):
    x = array(*shape, dtype=dtype)
    keep = random.keep_mask(KEY, shape, rate)
    # At the ends only the mask matters: 1/P(keep) is unused, or infinite.
    scale = 1 / (1 - random.realised_rate(rate)) if rate < 1 else jnp.float32(0)
    y = flaxnoise.dropout(KEY, x, rate)
    tiny = 2.0**-16 < rate < 1 - 2.0**-16
    if tiny:
        assert_same_bits(y, jnp.where(keep, (x.astype(jnp.float32) * scale).astype(dtype), 0))
    assert jnp.array_equal(y != 0, keep)
