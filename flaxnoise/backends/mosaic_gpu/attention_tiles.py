"""The division of attention into tiles for wgmma, and the dropout mask of a tile.

A tile has the weights of 64 queries and 64 or 128 keys, in the registers of a warpgroup. In the
layout of wgmma's accumulators a thread has columns 8·a + 2·t + e of a row, t being its number
modulo 4. Keys are put in another order before the kernel, so that a thread has whole blocks of the
stream and draws each of them once: in each 16 columns, column 8·a + 2·t + e has key 4·t + 2·a + e.
Where rows of weights are whole chunks of the stream, and no tile is skipped, the second half of
each 64 columns has the keys 512 after those of the first half, which read the other halves of the
same words.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from flaxnoise.stream.index import CHUNK, half_address
from flaxnoise.stream.kinds import KINDS
from flaxnoise.stream.noise import draw_halves
from flaxnoise.stream.philox import Words

ROWS = 64  # queries of a tile: the rows of one wgmma
UNIT = 64  # keys that are put in another order among themselves, or with those 512 after
_PLACES = CHUNK // UNIT


class Shape(NamedTuple):
    """The sizes of a call, and the static part of its formula.

    Attributes:
        batch: examples.
        heads: heads of queries.
        kv_heads: heads of keys.
        queries: queries, padded to whole tiles.
        keys: keys, padded to whole tiles.
        own_keys: keys without the padding.
        row: weights of a row of the global array.
        size: elements of a query per head.
        scale: factor of the scores.
        causal: whether later keys are masked.
        drops: whether weights are dropped.
        wide: whether indices of weights need 64 bits.
    """

    batch: int
    heads: int
    kv_heads: int
    queries: int
    keys: int
    own_keys: int
    row: int
    size: int
    scale: float
    causal: bool
    drops: bool
    wide: bool

    @property
    def is_paired(self) -> bool:
        """Whether a tile has keys that are 512 apart."""
        return not self.causal and self.row % CHUNK == 0 and self.keys == self.row

    @property
    def alignment(self) -> int:
        """A power of two that divides the index of the first weight of each row."""
        return min(self.row & -self.row, CHUNK)


def in_tiles(x: jax.Array, shape: Shape) -> jax.Array:
    """[B, S, …] with keys in the order of columns."""
    return _reordered(x, shape, (2, _PLACES, 2, 4, 2, 2), (2, 1, 3, 5, 4, 6), (4, 2, 2), (2, 1, 3))


def in_order(x: jax.Array, shape: Shape) -> jax.Array:
    """The inverse of ``in_tiles``."""
    return _reordered(x, shape, (_PLACES, 2, 2, 2, 4, 2), (2, 1, 3, 5, 4, 6), (2, 4, 2), (2, 1, 3))


def _reordered(
    x: jax.Array,
    shape: Shape,
    paired: tuple[int, ...],
    order: tuple[int, ...],
    single: tuple[int, ...],
    single_order: tuple[int, ...],
) -> jax.Array:
    inner, order = (paired, order) if shape.is_paired else (single, single_order)
    groups = x.reshape(x.shape[0], -1, *inner, *x.shape[2:])
    ahead = (0, 1, *(axis + 1 for axis in order))
    return groups.transpose(*ahead, *range(len(ahead), groups.ndim)).reshape(x.shape)


def first_key(shape: Shape, first_column: jax.Array) -> jax.Array:
    """uint32, the first key of the tile whose first column has this number among all columns."""
    if not shape.is_paired:
        return first_column
    # Shifts and ands: the compiler then knows which bits are 0.
    chunk = first_column & jnp.uint32(-CHUNK & 0xFFFFFFFF)
    return chunk | ((first_column & jnp.uint32(CHUNK - UNIT)) >> jnp.uint32(1))


def _first_half_key(shape: Shape, column: jax.Array) -> jax.Array:
    """Keys of the columns of a tile relative to its first key, 512 less in second halves."""
    word = jnp.uint32
    key = ((column & word(6)) << word(1)) | ((column & word(8)) >> word(2)) | (column & word(1))
    if shape.is_paired:
        return key | (column & word(16)) | ((column & word(64)) >> word(1))
    return key | (column & word(112))


def _is_second(column: jax.Array) -> jax.Array:
    return (column & jnp.uint32(32)) != jnp.uint32(0)


def visible(shape: Shape, row: jax.Array, first: jax.Array, column: jax.Array) -> jax.Array | None:
    """Which keys each query sees; None for all."""
    found = None
    key = first + _first_half_key(shape, column)  # nothing is masked where keys are paired
    if shape.own_keys < shape.keys:
        found = key < jnp.uint32(shape.own_keys)
    if shape.causal:
        past = key <= row
        found = past if found is None else found & past
    return found


def kept(
    shape: Shape,
    key: Words,
    threshold: jax.Array,
    start: tuple[jax.Array, jax.Array],
    first: jax.Array,
    iota: Callable[[int], jax.Array],
) -> jax.Array:
    """The dropout mask of a tile.

    Args:
        shape: the sizes of the call.
        key: the words of the key.
        threshold: the threshold of the rate.
        start: (low, high) words of the index of the first weight in the tile's first row.
        first: first key of the tile.
        iota: gives the row or the column of each weight, uint32.
    """
    word = jnp.uint32
    row, column = iota(0), iota(1)
    key_number = _first_half_key(shape, column)
    # The index is summed without the bits that select a word of the block and a half of the word,
    # and no sum carries into those bits. So the compiler finds the weights that share a block.
    zeros = word(shape.alignment.bit_length() - 1)
    low = start[0] >> zeros << zeros
    named = word(3 if shape.alignment >= 4 else 0)
    index = low + row * word(shape.row) + first + (key_number & ~named)
    high = start[1] + (index < low).astype(word) if shape.wide else None
    block_low, block_high, in_block, upper = half_address(index, high)
    if shape.alignment >= 4:
        in_block = key_number & word(3)
    if shape.is_paired:
        upper = _is_second(column)
    address = (block_low, block_high, in_block, upper)
    return draw_halves(KINDS["keep"], key, address, threshold)
