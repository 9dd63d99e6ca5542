"""The kernel draws the stream: words, masks and uniforms exactly, normals within ulps.

Shapes: rows of one, three, six and nine tiles of 128 columns, rows that end inside a tile, rows of
whole chunks, rows that form whole chunks together, several blocks of rows and columns of which the
last is partial, arrays that are reshaped into rows first because of their width or few rows, and
the smallest.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import interpreted_tpu
import reference
from closeness import NOISE_ULPS
from every import every
from flaxnoise.backends.mosaic_tpu import kernel
from flaxnoise.backends.mosaic_tpu.grid import grids_of
from flaxnoise.stream.philox import PHILOX_M4x32_0, PHILOX_M4x32_1
from interpreted_tpu import drawn

KEY = jax.random.key(7, impl="rbg")  # four words
WORDS = reference.key_words(KEY)
OPERANDS = {"key": jnp.asarray(WORDS, jnp.uint32)}
FLAT = ((), (33, 129), (1025,))
CHUNKS = ((34, 2048), (600, 1024), (130, 2048))
INTERLEAVED = ((2, 129, 768), (130, 512), (520, 128), (515, 384))
BY_TILES = ((65, 128), (2100, 132), (66, 384), (2, 20, 768), (70, 1152), (34, 1000), (2, 35, 100))
FEW_ROWS = ((5, 128), (9, 1152), (3, 2048))


def test_the_shapes_are_cut_as_their_names_say():
    grids = {shape: grids_of(shape, shape)[0] for shape in (*BY_TILES, *INTERLEAVED, *CHUNKS)}
    assert all(grid.columns == shape[-1] for shape, grid in grids.items())
    assert [shape for shape, grid in grids.items() if grid.period] == [*INTERLEAVED, *CHUNKS]
    assert all(grids[shape].is_interleaved for shape in INTERLEAVED)
    assert all(grids_of(shape, shape)[0].columns == 1024 for shape in (*FLAT, *FEW_ROWS))


def indices(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(math.prod(shape), dtype=np.uint64).reshape(shape)


def threshold(rate: float, shape: tuple[int, ...]) -> jax.Array:
    return jnp.full((1,) * len(shape), reference.threshold(rate), jnp.uint32)


# tests/backends draws more shapes; each takes seconds to compile.
@every("shape", [(), (34, 2048), (2100, 132), (70, 1152), (9, 1152)], ids=str)
def test_words(shape: tuple[int, ...]):
    words = drawn(OPERANDS, kind="bits", shape=shape, dtype=jnp.uint32)
    np.testing.assert_array_equal(words, reference.bits(WORDS, indices(shape)))


OTHERS = (
    (33, 129),
    (1025,),
    (65, 128),
    (5, 128),
    (3, 2048),
    (130, 512),
)  # covered by tests/backends
MASKS = [s for s in (*FLAT, *CHUNKS, *BY_TILES, *FEW_ROWS, *INTERLEAVED) if s not in OTHERS]


@every("shape", MASKS, ids=str)
def test_masks(shape: tuple[int, ...]):
    operands = {**OPERANDS, "threshold": threshold(0.3, shape)}
    mask = drawn(operands, kind="keep", shape=shape, dtype=jnp.bool_)
    np.testing.assert_array_equal(mask, reference.keep(WORDS, indices(shape), 0.3))


def test_a_second_block_of_rows_with_the_noise_of_the_first_is_seen(
    monkeypatch: pytest.MonkeyPatch,
):
    """Planted: the halves of a block's offset are swapped, which a single block does not show."""
    right = kernel.multiply_halves

    def swapped(multiplier: int, word: jax.Array) -> tuple[jax.Array, jax.Array]:
        high, low = right(multiplier, word)
        is_offset = multiplier not in (PHILOX_M4x32_0, PHILOX_M4x32_1)
        return (low, high) if is_offset else (high, low)

    monkeypatch.setattr(kernel, "multiply_halves", swapped)
    monkeypatch.setattr(interpreted_tpu, "_compiled", interpreted_tpu._compiled.__wrapped__)
    test_masks.one_case((3, 2048))
    with pytest.raises(AssertionError, match="Arrays are not equal"):
        test_masks.one_case((600, 1024))


@every("rate", [0.0, 2.0**-16, 1e-4, 1 - 2.0**-16, 1.0])
def test_rates(rate: float):
    """Rates at the ends, and some whose thresholds need more than 16 bits."""
    shape = (130, 1024)
    operands = {**OPERANDS, "threshold": threshold(rate, shape)}
    mask = drawn(operands, kind="keep", shape=shape, dtype=jnp.bool_)
    np.testing.assert_array_equal(mask, reference.keep(WORDS, indices(shape), rate))


@every("shape", [(33, 129), (33, 128)], ids=str)
def test_thresholds_of_each_column(shape: tuple[int, ...]):
    rates = np.linspace(0, 1, shape[-1])
    thresholds = np.array([[reference.threshold(rate) for rate in rates]], np.uint32)
    operands = {**OPERANDS, "threshold": jnp.asarray(thresholds)}
    mask = drawn(operands, kind="keep", shape=shape, dtype=jnp.bool_)
    u = reference.halves(WORDS, indices(shape))
    np.testing.assert_array_equal(mask, u >> np.uint32(1) >= thresholds)


@every("shape", [(70, 1152)], ids=str)
def test_normals(shape: tuple[int, ...]):
    n = drawn(OPERANDS, kind="normal", shape=shape, dtype=jnp.float32)
    assert_within_noise_ulps(n, reference.normal(WORDS, indices(shape)))


@every("shape", [(70, 1152)], ids=str)
def test_masked_normals(shape: tuple[int, ...]):
    operands = {**OPERANDS, "threshold": threshold(0.3, shape)}
    n = drawn(operands, kind="masked_normal", shape=shape, dtype=jnp.float32)
    i = indices(shape)
    np.testing.assert_array_equal(n == 0, reference.keep(WORDS, i, 0.3))
    assert_within_noise_ulps(n, np.where(n == 0, 0, reference.normal(WORDS, i)))


def assert_within_noise_ulps(actual: np.ndarray, exact: np.ndarray) -> None:
    allowed = NOISE_ULPS * np.spacing(np.float32(abs(exact)))
    assert np.all(abs(actual - exact) <= allowed)
