"""Shards and long arrays: the primitive from any start index, against the reference."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flaxnoise
import reference
from cases import KEY, Case, array, few_cases
from closeness import NOISE_ULPS
from flaxnoise.affine import affine
from flaxnoise.arguments import key_words

WORDS = reference.key_words(KEY)
STARTS = [0, 5, 1021, 2**31 - 3, 2**32 - 3, 2**32 + 1, 2**34 - 2, 2**45 + 1023]
LENGTH = 2**46


def drawn(kind: str, start: int, **operands: jax.Array) -> jax.Array:
    """Nine elements of an array of 2^46 that begin at an index."""
    words = jnp.array([start & 0xFFFFFFFF, start >> 32], jnp.uint32)
    dtype = {"keep": jnp.bool_, "bits": jnp.uint32}.get(kind, jnp.float32)
    operands = {"key": key_words(KEY), "start": words, **operands}
    return jax.jit(
        lambda operands: affine(
            operands, kind=kind, shape=(9,), global_shape=(LENGTH,), dtype=dtype
        )
    )(operands)


def indices(start: int) -> np.ndarray:
    return start + np.arange(9, dtype=np.uint64)


@pytest.mark.parametrize("start", STARTS)
def test_words_and_masks_are_those_of_the_index(start: int):
    i = indices(start)
    assert np.array_equal(drawn("bits", start), reference.bits(WORDS, i))
    assert np.array_equal(drawn("uniform", start), reference.uniform(WORDS, i))
    threshold = jnp.array([reference.threshold(0.3)], jnp.uint32)
    assert np.array_equal(drawn("keep", start, threshold=threshold), reference.keep(WORDS, i, 0.3))


@pytest.mark.parametrize("start", STARTS)
def test_normals_are_those_of_the_index(start: int):
    n = reference.normal(WORDS, indices(start))
    assert np.all(abs(drawn("normal", start) - n) <= NOISE_ULPS * np.spacing(np.float32(abs(n))))


def test_rows_of_a_shard_are_rows_of_the_whole():
    """A shard of whole rows: 3 to 5 of an array of 7 rows."""
    x = array(7, 33)
    whole = flaxnoise.dropout(KEY, x, 0.3)
    operands = {
        "key": key_words(KEY),
        "start": jnp.array([3 * 33, 0], jnp.uint32),
        "threshold": jnp.array([[reference.threshold(0.3)]], jnp.uint32),
        "x": x[3:6],
        "b": jnp.array([[1 / (1 - flaxnoise.random.realised_rate(0.3))]], jnp.float32),
    }
    part = affine(operands, kind="keep", shape=(3, 33), global_shape=(7, 33), dtype=x.dtype)
    assert jnp.array_equal(part, whole[3:6])


@few_cases
def test_an_array_of_2_to_the_36_elements_is_lowered(case: Case):
    """By its type alone; index arithmetic of 64 bits is in the program, without 64-bit mode."""
    x = jax.ShapeDtypeStruct((2**12, 2**24), jnp.bfloat16)
    assert jax.eval_shape(case, KEY, x).shape == x.shape
    with flaxnoise.backend("xla"):
        text = jax.jit(case).lower(KEY, x).as_text()
    assert "tensor<4096x16777216xui64>" in text
    with flaxnoise.backend("xla"):
        text = jax.jit(case).lower(KEY, jax.ShapeDtypeStruct((2**8, 2**24), x.dtype)).as_text()
    assert "iota" in text
    assert not [line for line in text.splitlines() if "iota" in line and "ui64" in line]
