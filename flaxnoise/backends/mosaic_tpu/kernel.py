"""The Mosaic kernel for TPUs: the formula on vector registers of 8 sublanes and 128 lanes.

Each lane computes a block of Philox, the words of four consecutive elements. The 128 blocks of a
register row are the words of four tiles of 128 columns, or of eight tiles for masks, which use half
a word per element. Rotations, selects and one gather per tile move the words to their lanes. If the
eight tiles of a chunk are in several rows, stores to a buffer sort them into rows.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from flaxnoise.backends.contract import named
from flaxnoise.backends.mosaic_tpu.grid import LANES, MOST_TILES, SUBLANES, Grid
from flaxnoise.backends.mosaic_tpu.registers import iota, spread, sum64
from flaxnoise.backends.xla.combine import combine
from flaxnoise.stream.index import half_address, word_address
from flaxnoise.stream.kinds import DOMAINS, KINDS, Kind
from flaxnoise.stream.noise import counter, swapped
from flaxnoise.stream.philox import Words, multiply_halves, philox4x32

WORDS = ("k0", "k1", "k2", "k3", "low", "high", "threshold")  # key, start, threshold


def call(
    words: jax.Array,
    coefficients: Mapping[str, jax.Array],
    x: jax.Array | None,
    *,
    kind: Kind,
    grid: Grid,
    dtype: jax.typing.DTypeLike,
    interpret: Any,
) -> jax.Array:
    """The formula for a batch of examples.

    Args:
        words: uint32[examples, 1, 7], in the order of WORDS.
        coefficients: float32[examples, 1, 1] each.
        x: [examples or 1, rows, columns], float32 or bfloat16.
        kind: the kind of noise.
        grid: the division into blocks.
        dtype: dtype of the result; without coefficients int32 for keep, uint32 for bits.
        interpret: as in pallas_call.

    Returns:
        [examples, rows, columns]
    """
    examples = words.shape[0]
    block = (None, grid.block_rows, LANES * grid.tiles)
    scalars = [words, *coefficients.values()]
    specs = [
        pl.BlockSpec((None, 1, value.shape[-1]), lambda e, i, j: (e, 0, 0), memory_space=pltpu.SMEM)
        for value in scalars
    ]
    if x is not None:
        each = int(x.shape[0] == examples)
        specs.append(pl.BlockSpec(block, lambda e, i, j: (e * each, i, j)))
    buffer = (grid.tiles * SUBLANES * grid.row_groups, LANES)  # tile after tile
    has_halves = kind.reads == "half" or kind.where_dropped is not None
    has_buffer = grid.is_interleaved and has_halves
    return pl.pallas_call(
        functools.partial(
            _kernel,
            kind=kind,
            grid=grid,
            names=tuple(coefficients),
            has_x=x is not None,
            has_buffer=has_buffer,
        ),
        out_shape=jax.ShapeDtypeStruct((examples, grid.rows, grid.columns), dtype),
        grid=(examples, *grid.blocks),
        in_specs=specs,
        out_specs=pl.BlockSpec(block, lambda e, i, j: (e, i, j)),
        scratch_shapes=[pltpu.VMEM(buffer, jnp.uint32)] if has_buffer else [],
        compiler_params=pltpu.CompilerParams(
            dimension_semantics=("parallel", "parallel", "parallel")
        ),
        interpret=interpret,
        name=f"flaxnoise_{kind.name}",
    )(*scalars, *([] if x is None else [x]))


def _kernel(
    words_ref: Any,
    *refs: Any,
    kind: Kind,
    grid: Grid,
    names: tuple[str, ...],
    has_x: bool,
    has_buffer: bool,
) -> None:
    buffer = refs[-1] if has_buffer else None
    refs = refs[: len(refs) - has_buffer]
    coefficients = {
        name: jnp.full((SUBLANES, LANES), ref[0, 0])
        for name, ref in named(names, refs[: len(names)]).items()
    }
    x_ref, y_ref = refs[len(names)] if has_x else None, refs[-1]
    scalar = {name: words_ref[0, column] for column, name in enumerate(WORDS)}
    key = tuple(scalar[name] for name in ("k0", "k1", "k2", "k3"))
    block = pl.program_id(1).astype(jnp.uint32)
    high, low = multiply_halves(grid.stride * grid.block_rows, block)
    first = sum64((scalar["low"], scalar["high"]), (low, high))
    column = pl.program_id(2).astype(jnp.uint32) * jnp.uint32(LANES * grid.tiles)
    first = sum64(first, (column, jnp.uint32(0)))
    rows = SUBLANES * grid.row_groups
    places = [(group, tile) for group in range(grid.row_groups) for tile in range(grid.tiles)]

    def step(i: jax.Array, _: None) -> None:
        offset = i.astype(jnp.uint32) * jnp.uint32(rows * grid.stride)
        low, high = sum64(first, (offset, jnp.uint32(0)))
        here = Here(grid, key, low, high if grid.wide else None, scalar["threshold"], buffer)
        for (group, tile), n in zip(places, here.noise(kind, places), strict=True):
            row = pl.multiple_of(i * rows + group * SUBLANES, SUBLANES)
            at = (pl.ds(row, SUBLANES), pl.ds(tile * LANES, LANES))
            if not coefficients:
                y = n.astype(y_ref.dtype)
            else:
                x = None if x_ref is None else x_ref[at].astype(jnp.float32)
                y = combine(n, x, coefficients, jnp.float32, zeros=kind.may_be_0)
            y_ref[at] = jnp.broadcast_to(y, (SUBLANES, LANES)).astype(y_ref.dtype)

    lax.fori_loop(0, grid.block_rows // rows, step, None)


class Here(NamedTuple):
    """Draws the noise of one step; (low, high) is the linear index of the step's first element.

    ``buffer`` is the scratch memory in which halves are sorted into rows, if the grid needs it.
    """

    grid: Grid
    key: Words
    low: jax.Array
    high: jax.Array | None
    threshold: jax.Array
    buffer: Any

    def noise(self, kind: Kind, places: Sequence[tuple[int, int]]) -> list[jax.Array]:
        """n of each location (group of rows, tile): uint32, bool or float32[SUBLANES, LANES]."""
        if kind.where_dropped is not None:
            parts = ("keep", kind.where_dropped)
            kept, others = (self.noise(KINDS[part], places) for part in parts)
            return [
                jnp.where(keep, jnp.float32(0), n) for keep, n in zip(kept, others, strict=True)
            ]
        if kind.reads == "half":
            return [kind.map(half, self.threshold) for half in self._halves(places)]
        if kind.reads == "pair":
            of_block = functools.partial(_of_pairs, kind.map)
            return self._words(places, kind.domain, word_address, of_block)
        return [kind.map(word) for word in self._words(places, kind.domain, word_address)]

    def _halves(self, places: Sequence[tuple[int, int]]) -> list[jax.Array]:
        """u of each element: its own 16 bits above those of its partner."""
        if self.buffer is not None:
            return self._sorted_halves(places)
        if self.grid.period:
            found = []
            for chunk in range(0, len(places), MOST_TILES):
                lower = self._words(places[chunk : chunk + 4], DOMAINS["keep"], half_address)
                found += [*lower, *map(swapped, lower)]
            return found
        words = self._words(places, DOMAINS["keep"], half_address)
        return [
            jnp.where(self._is_upper(place), swapped(word), word)
            for place, word in zip(places, words, strict=True)
        ]

    def _sorted_halves(self, places: Sequence[tuple[int, int]]) -> list[jax.Array]:
        """u of whole chunks: computed for every period-th row, sorted into rows in the buffer."""
        tiles, period = self.grid.tiles, self.grid.row_groups
        rows = SUBLANES * period
        for first in range(0, tiles * period, MOST_TILES):
            offsets = [(first + i) * LANES for i in range(4)]
            apart = period * self.grid.stride
            lower = self._words_at(offsets, apart, DOMAINS["keep"], half_address)
            for i, word in enumerate([*lower, *map(swapped, lower)]):
                row, tile = divmod(first + i, tiles)
                self.buffer[pl.ds(tile * rows + row, SUBLANES, stride=period), :] = word
        return [
            self.buffer[pl.ds(tile * rows + group * SUBLANES, SUBLANES), :]
            for group, tile in places
        ]

    def _words(
        self,
        places: Sequence[tuple[int, int]],
        domain: int,
        address: Callable[..., tuple[jax.Array, ...]],
        map_: Callable[[Words], Sequence[jax.Array]] = lambda words: words,
    ) -> list[jax.Array]:
        """The words of each location's elements, after map_ has mapped the words of each block."""
        offsets = [self._offset(place) for place in places]
        return [
            word
            for i in range(0, len(places), 4)
            for word in self._words_at(offsets[i : i + 4], self.grid.stride, domain, address, map_)
        ]

    def _words_at(
        self,
        offsets: Sequence[int],
        apart: int,
        domain: int,
        address: Callable[..., tuple[jax.Array, ...]],
        map_: Callable[[Words], Sequence[jax.Array]] = lambda words: words,
    ) -> list[jax.Array]:
        """Like ``_words``, for four tiles with first elements at ``offsets``, rows ``apart``."""
        first = self._first_of_blocks(offsets, apart)
        block_low, block_high = address(*self._index(first))[:2]
        block = counter(self.key, block_low, block_high, domain)
        return spread(map_(philox4x32(block, self.key[:2], multiply_halves)))

    def _first_of_blocks(self, offsets: Sequence[int], apart: int) -> jax.Array:
        """Offset of the first element of each lane's block; a tile takes a quarter of the lanes."""
        sublane, lane = iota(0), iota(1)
        first = sublane * jnp.uint32(apart) + jnp.uint32(offsets[0])
        if list(offsets) == [offsets[0] + i * LANES for i in range(4)]:
            return first + (lane << jnp.uint32(2))
        quarter, in_tile = lane >> jnp.uint32(5), (lane & jnp.uint32(31)) << jnp.uint32(2)
        for i, own in enumerate(offsets[1:], 1):
            beyond = jnp.uint32((own - offsets[0]) & 0xFFFFFFFF)
            first = jnp.where(quarter == jnp.uint32(i), first + beyond, first)
        return first + in_tile

    def _is_upper(self, place: tuple[int, int]) -> jax.Array:
        sublane, lane = iota(0), iota(1)
        inside = sublane * jnp.uint32(self.grid.stride) + jnp.uint32(self._offset(place)) + lane
        return half_address(self.low + inside, None)[3]

    def _offset(self, place: tuple[int, int]) -> int:
        group, tile = place
        return group * SUBLANES * self.grid.stride + tile * LANES

    def _index(self, offset: jax.Array) -> tuple[jax.Array, jax.Array | None]:
        low = self.low + offset
        if self.high is None:
            return low, None
        return low, self.high + (low < offset).astype(jnp.uint32)


def _of_pairs(map_: Callable[..., jax.Array], words: Words) -> list[jax.Array]:
    w0, w1, w2, w3 = words
    return [map_(a, b, jnp.asarray(odd)) for a, b in ((w0, w1), (w2, w3)) for odd in (False, True)]
