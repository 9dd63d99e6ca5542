"""Shards with any start index and any shape have the noise of the global array."""

import jax.numpy as jnp
import numpy as np
import pytest

import reference
from every import every
from flaxnoise.backends.mosaic_tpu import kernel as tpu_kernel
from flaxnoise.backends.mosaic_tpu.backend import MosaicTpu
from flaxnoise.backends.mosaic_tpu.grid import grids_of
from flaxnoise.backends.xla import elementwise
from flaxnoise.stream.philox import PHILOX_M4x32_0, PHILOX_M4x32_1, multiply_halves
from forms import form as form_of
from interpreted_tpu import drawn

WORDS = (1, 2, 3, 4)
KEY = jnp.asarray(WORDS, jnp.uint32)
LENGTH = 2**46
STARTS = [0, 1020, 1024, 2**32 - 4, 2**32, 2**34 - 1024, 2**45 + 1024]


def words_of(start: int) -> jnp.ndarray:
    return jnp.array([start & 0xFFFFFFFF, start >> 32], jnp.uint32)


@every(("rows", "columns", "odd"), [(3, 128, 0), (260, 1024, 0), (3, 33, 1), (130, 512, 0)])
def test_words_and_masks_are_those_of_the_index(rows: int, columns: int, odd: int):
    """Starts that a kernel supports, and those left to a less restrictive kernel or to xla."""
    shape = (rows, columns)
    threshold = jnp.full((1, 1), reference.threshold(0.3), jnp.uint32)
    params = {"shape": shape, "global_shape": (LENGTH, columns)}
    local = np.arange(rows * columns, dtype=np.uint64).reshape(shape)
    for start in (*STARTS, *(start + odd for start in STARTS)):
        operands = {"key": KEY, "start": words_of(start)}
        bits = drawn(operands, kind="bits", dtype=jnp.uint32, **params)
        np.testing.assert_array_equal(bits, reference.bits(WORDS, start + local))
        operands["threshold"] = threshold
        mask = drawn(operands, kind="keep", dtype=jnp.bool_, **params)
        np.testing.assert_array_equal(mask, reference.keep(WORDS, start + local, 0.3))


def serving(monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], *starts: int) -> int:
    """Returns which form computes examples with these starts: a kernel's alignment, or 0 for xla.

    The forms are replaced by ones that return that number.
    """

    def kernel(words, *_, grid, dtype, **__):
        return jnp.full((len(words), grid.rows, grid.columns), grid.alignment, dtype)

    def form(call, _):
        return jnp.zeros(call.result, call.dtype)

    monkeypatch.setattr(tpu_kernel, "call", kernel)
    monkeypatch.setattr(elementwise, "affine", form)
    operands = {
        "key": jnp.tile(KEY, (len(starts), 1)),
        "start": jnp.stack([words_of(start) for start in starts]),
    }
    params = {"kind": "bits", "shape": shape, "global_shape": (LENGTH, shape[-1])}
    (number,) = np.unique(form_of(MosaicTpu(), dtype=jnp.uint32, **params)(operands))
    return int(number)


@pytest.mark.parametrize("shape", [(130, 512), (3, 1024), (40, 132), (3, 33)])
def test_the_first_kernel_that_a_start_allows_serves(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
):
    alignments = [grid.alignment for grid in grids_of(shape, (LENGTH, shape[-1]))]
    for start in STARTS:
        for at in (start, start + 1, start + 2, start + 4, start + 512):
            expected = next((each for each in alignments if at % each == 0), 0)
            assert serving(monkeypatch, shape, at) == expected


def test_the_examples_of_a_batch_share_a_kernel(monkeypatch: pytest.MonkeyPatch):
    """Rows that form chunks together need starts divisible by 1024, single rows by four."""
    assert serving(monkeypatch, (130, 512), 1024, 2048) == 1024
    assert serving(monkeypatch, (130, 512), 1024, 2052) == 4
    assert serving(monkeypatch, (130, 512), 1024, 2049) == 0


@every(
    "multiplier",
    [PHILOX_M4x32_0, PHILOX_M4x32_1, 3 << 16, 768 * 384, 0xFFFF, 0x1FFFF, 0xFFFEFFFF, 0xFFFFFFFF],
)
def test_a_product_of_halves_is_that_of_64_bits(multiplier: int):
    """Multipliers of the generator and of indices; sums of halves carry in two different ways."""
    words = np.array([0, 1, 2, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000001, 2**32 - 1], np.uint64)
    words = np.append(words, np.random.default_rng(0).integers(0, 1 << 32, 1000, np.uint64))
    high, low = multiply_halves(multiplier, jnp.asarray(words, jnp.uint32))
    exact = words * np.uint64(multiplier)
    np.testing.assert_array_equal(high, exact >> np.uint64(32))
    np.testing.assert_array_equal(low, exact & np.uint64(0xFFFFFFFF))


@every(
    ("whole", "parts"),
    [((8, 512), (2, 1)), ((8, 512), (2, 4)), ((4, 2048), (1, 2)), ((4, 6, 64), (2, 1, 1))],
)
def test_shards_have_the_noise_of_the_whole(whole: tuple[int, ...], parts: tuple[int, ...]):
    index = np.arange(np.prod(whole), dtype=np.uint64).reshape(whole)
    expected = reference.keep(WORDS, index, 0.3)
    local = tuple(size // part for size, part in zip(whole, parts, strict=True))
    threshold = jnp.full((1,) * len(whole), reference.threshold(0.3), jnp.uint32)
    for place in np.ndindex(parts):
        first = [position * size for position, size in zip(place, local, strict=True)]
        start = words_of(int(np.ravel_multi_index(first, whole)))
        operands = {"key": KEY, "start": start, "threshold": threshold}
        mask = drawn(operands, kind="keep", shape=local, global_shape=whole, dtype=jnp.bool_)
        box = tuple(slice(at, at + size) for at, size in zip(first, local, strict=True))
        np.testing.assert_array_equal(mask, expected[box])
