"""A shard is a box of the global array: its rows start anywhere, and its index may need 64 bits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import reference
from closeness import assert_same_bits
from flaxnoise.affine import affine

KEY = np.array([3, 5, 7, 11], np.uint32)


def box(backend, kind, shape, global_shape, start, dtype=jnp.uint32, **more):
    operands = {
        "key": jnp.asarray(KEY),
        "start": jnp.array([start & 0xFFFFFFFF, start >> 32], jnp.uint32),
        **more,
    }
    return affine(
        operands, kind=kind, shape=shape, global_shape=global_shape, dtype=dtype, backend=backend
    )


@pytest.mark.parametrize("start", [0, 1, 509, 1023, 2**32 - 3, 2**34 + 1021, 2**40 + 17])
@pytest.mark.parametrize("kind", ["bits", "keep"])
def test_a_box_has_the_noise_of_its_place(simd, kind, start):
    shape, global_shape = (3, 5, 21), (2**22, 50, 1021)
    more, dtype = {}, jnp.uint32
    if kind == "keep":
        more, dtype = {"threshold": jnp.full((1, 1, 1), 1 << 30, jnp.uint32)}, jnp.bool_
    ours = box("cpu", kind, shape, global_shape, start, dtype, **more)
    assert_same_bits(ours, box("xla", kind, shape, global_shape, start, dtype, **more))
    if kind == "bits":
        i, j, k = np.indices(shape, np.uint64)
        index = np.uint64(start) + (i * np.uint64(50) + j) * np.uint64(1021) + k
        np.testing.assert_array_equal(ours, reference.bits([int(word) for word in KEY], index))


def test_boxes_put_together_are_the_whole(simd):
    whole = box("xla", "bits", (6, 2050), (6, 2050), 0)
    rows = [
        np.concatenate(
            [box("cpu", "bits", (3, 1025), (6, 2050), 3 * i * 2050 + 1025 * j) for j in (0, 1)],
            axis=1,
        )
        for i in (0, 1)
    ]
    assert_same_bits(jnp.asarray(np.concatenate(rows)), jax.device_get(whole))
