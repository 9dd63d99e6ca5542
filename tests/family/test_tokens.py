"""Token dropout: integers in, integers out, protected ids untouched."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flaxnoise
from cases import KEY
from closeness import assert_same_bits
from every import every
from flaxnoise import random

IDS = jnp.asarray(np.random.default_rng(0).integers(0, 50, (33, 129)))


@every("dtype", [jnp.int8, jnp.int32, jnp.uint32])
def test_what_dropout_drops_becomes_the_mask_unless_protected(dtype):
    ids = IDS.astype(dtype)
    y = flaxnoise.token_dropout(KEY, ids, 0.3, mask_id=99, protected=(0, 7))
    keep = random.keep_mask(KEY, ids.shape, 0.3) | (ids == 0) | (ids == 7)
    assert_same_bits(y, jnp.where(keep, ids, jnp.asarray(99, dtype)))
    assert 0.25 < (y == 99).mean() < 0.3


def test_ends():
    assert_same_bits(flaxnoise.token_dropout(KEY, IDS, 0.0, mask_id=99), IDS)
    y = flaxnoise.token_dropout(KEY, IDS, 1.0, mask_id=99, protected=jnp.array([3]))
    assert_same_bits(y, jnp.where(IDS == 3, 3, jnp.full_like(IDS, 99)))


def test_transforms_and_traced_arguments():
    def call(key, ids, rate, mask_id):
        return flaxnoise.token_dropout(key, ids, rate, mask_id=mask_id, protected=(0,))

    keys = jax.random.split(KEY, 33)
    loop = jnp.stack([call(key, ids, 0.3, 99) for key, ids in zip(keys, IDS, strict=True)])
    mapped = jax.jit(jax.vmap(call, (0, 0, None, None)))
    assert_same_bits(mapped(keys, IDS, 0.3, 99), loop)
    mapped(keys, IDS, 0.5, 7)
    assert mapped._cache_size() == 1


def test_word_dropout_on_an_embedding_drops_words_of_the_vocabulary():
    table = jnp.ones((50, 8))
    dropped = (flaxnoise.word_dropout(KEY, table, 0.3) == 0).all(axis=1)
    y = flaxnoise.word_dropout(KEY, table, 0.3)[IDS]
    np.testing.assert_array_equal((y == 0).all(axis=-1), dropped[IDS])


def test_mistakes_are_named():
    with pytest.raises(TypeError, match=r"token_dropout: ids must be integers, got float32"):
        flaxnoise.token_dropout(KEY, jnp.ones(3), 0.3, mask_id=0)
    with pytest.raises(ValueError, match=r"token_dropout: mask_id must fit into int8, got 200"):
        flaxnoise.token_dropout(KEY, IDS.astype(jnp.int8), 0.3, mask_id=200)
    with pytest.raises(TypeError, match=r"token_dropout: mask_id must be integers, got None"):
        flaxnoise.token_dropout(KEY, IDS, 0.3, mask_id=None)
    with pytest.raises(TypeError, match=r"token_dropout: protected must be integers"):
        flaxnoise.token_dropout(KEY, IDS, 0.3, mask_id=0, protected=(0.5,))
    with pytest.raises(ValueError, match=r"token_dropout: rate must be in \[0, 1\], got 2"):
        flaxnoise.token_dropout(KEY, IDS, 2, mask_id=0)


@every("dtype", ["uint8", "uint16", "uint32", "int32"])
def test_protected_ids_that_the_dtype_does_not_have_protect_nothing(dtype: str):
    ids = jnp.full(100, jnp.iinfo(dtype).max, dtype)
    with jax.numpy_dtype_promotion("strict"):
        y = flaxnoise.token_dropout(KEY, ids, 1.0, mask_id=3, protected=(-1, 5))
        kept = flaxnoise.token_dropout(
            KEY, 0 * ids + ids.dtype.type(5), 1.0, mask_id=3, protected=(-1, 5)
        )
    assert (y == 3).all()
    assert (kept == 5).all()


@every("x64", [False, True])
def test_integers_are_never_narrowed(x64: bool):
    """2^32 + 1 is not 1, whether it is given as a number, an array or an id."""
    huge = 2**32 + 1
    with jax.enable_x64(x64):
        ids = jnp.array([1, 2, 1, 2])
        for protected in ((huge,), np.array([huge]), (-huge, huge)):
            y = flaxnoise.token_dropout(KEY, ids, 1.0, mask_id=7, protected=protected)
            assert (y == 7).all()
        if x64:
            ids = jnp.array([huge, 1])
            y = flaxnoise.token_dropout(KEY, ids, 1.0, mask_id=huge + 1, protected=(huge,))
            assert y.tolist() == [huge, huge + 1]
            return
        with pytest.raises(ValueError, match=f"mask_id must fit into int32, got {huge}"):
            flaxnoise.token_dropout(KEY, ids, 0.5, mask_id=huge)
        text = f"ids must fit into int32, got {huge}. Set jax_enable_x64 for 64-bit integers."
        with pytest.raises(ValueError, match=text):
            flaxnoise.token_dropout(KEY, np.array([1, huge]), 0.5, mask_id=0)


@every("mask_id", [2**70, [2**64, 0]])
def test_integers_of_more_than_64_bits_are_refused(mask_id: Any):
    with pytest.raises(ValueError, match="token_dropout: mask_id must fit into 64 bits, got"):
        flaxnoise.token_dropout(KEY, jnp.arange(2), 0.5, mask_id=mask_id)


def test_traced_protected_ids_of_another_dtype_protect_what_the_ids_can_be():
    ids = jnp.array([-1, 1, 255 - 256, 5], jnp.int8)

    @jax.jit
    def run(protected: jax.Array) -> jax.Array:
        return flaxnoise.token_dropout(KEY, ids, 1.0, mask_id=7, protected=protected)

    assert run(jnp.array([255, 257, 5], jnp.int32)).tolist() == [7, 7, 7, 5]
    assert run(jnp.array([2**32 - 1, 5], jnp.uint32)).tolist() == [7, 7, 7, 5]
    assert run(jnp.array([-1], jnp.int32)).tolist() == [-1, 7, -1, 7]
