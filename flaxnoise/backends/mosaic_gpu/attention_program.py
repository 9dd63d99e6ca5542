"""What the attention kernels share: copies to shared memory, products, and weights of a tile."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu

from flaxnoise.backends.mosaic_gpu.attention_tiles import ROWS, Shape, first_key, kept, visible

plgpu: Any = mosaic_gpu  # jax 0.10 lacks some of its names

LOW = -1e30  # for −inf in scores
LOG2E = math.log2(math.e)
ROW_LAYOUT = plgpu.Layout.WGMMA.reduce(1)


@dataclasses.dataclass(frozen=True)
class Program:
    """A program of a kernel, which is one warpgroup.

    Attributes:
        shape: the sizes of the call.
        columns: keys of a tile.
        interpret: parameters of the interpreter, or None.
        key: the words of the key.
        numbers: the threshold of the rate, and 1/P(keep).
        starts: uint32[B·N·blocks of queries, 2], indices of first weights.
    """

    shape: Shape
    columns: int
    interpret: Any
    key: Any
    numbers: tuple[Any, Any]
    starts: Any

    def full(self, shape: Sequence[int], value: float) -> jax.Array:
        """A constant array of accumulators, or of a number for each row."""
        layout = plgpu.Layout.WGMMA if len(shape) == 2 else ROW_LAYOUT
        return plgpu.layout_cast(jnp.full(shape, value, jnp.float32), layout)

    def iota(self, axis: int) -> jax.Array:
        """The row or the column of each weight of a tile."""
        number = lax.broadcasted_iota(jnp.uint32, (ROWS, self.columns), axis)
        return plgpu.layout_cast(number, plgpu.Layout.WGMMA)

    def product(self, a: Any, b: Any, shape: tuple[int, int]) -> jax.Array:
        """a·b of arrays in shared memory; a may be in registers unless interpreted."""

        def accumulated(accumulator: Any) -> jax.Array:
            plgpu.wgmma(accumulator, a, b)
            return accumulator[...]

        return pl.run_scoped(accumulated, plgpu.WGMMAAccumulatorRef(shape, jnp.float32))

    def left(self, weights: jax.Array, *scratch: Any) -> Any:
        """Weights as the left operand of ``product``: in registers, which the interpreter lacks."""
        return self.shared(weights, *scratch) if scratch else weights

    def shared(self, weights: jax.Array, scratch: Any) -> Any:
        """Copies weights to shared memory."""
        plgpu.store(scratch, weights)
        plgpu.commit_smem()
        return scratch

    def block(self, b: jax.Array, n: jax.Array, i: jax.Array) -> jax.Array:
        """The number of a block of queries."""
        blocks = self.shape.queries // ROWS
        return (b * jnp.int32(self.shape.heads) + n) * jnp.int32(blocks) + i

    def scores(self, q: Any, k: Any, i: jax.Array, j: jax.Array) -> jax.Array:
        """scale·q·kᵀ·log₂e of a tile, and LOW where a query does not see a key."""
        s = self.product(q, k.transpose((1, 0)), (ROWS, self.columns))
        s = s * jnp.float32(self.shape.scale * LOG2E)
        row = self.iota(0) + (i * jnp.int32(ROWS)).astype(jnp.uint32)
        seen = visible(self.shape, row, self.first(j), self.iota(1))
        return s if seen is None else jnp.where(seen, s, jnp.full_like(s, LOW))

    def dropped(self, weights: jax.Array, block: jax.Array, j: jax.Array) -> jax.Array:
        """Weights of a tile with zeros where they are dropped."""
        if not self.shape.drops:
            return weights
        start = self.starts[block, 0], self.starts[block, 1]
        key = self.key[0], self.key[1], self.key[2], self.key[3]
        keep = kept(self.shape, key, self.numbers[0][0], start, self.first(j), self.iota)
        return jnp.where(keep, weights, jnp.zeros_like(weights))

    def first(self, j: jax.Array) -> jax.Array:
        """The first key of tile j."""
        return first_key(self.shape, j.astype(jnp.uint32) * jnp.uint32(self.columns))

    def seen_tiles(self, i: jax.Array) -> jax.Array:
        """How many tiles of keys the queries of block i see."""
        tiles = self.shape.keys // self.columns
        if not self.shape.causal:
            return jnp.int32(tiles)
        last = i * jnp.int32(ROWS) + jnp.int32(ROWS - 1)
        return jnp.minimum(lax.div(last, jnp.int32(self.columns)) + jnp.int32(1), jnp.int32(tiles))


def over_tiles(
    first: jax.Array,
    end: jax.Array,
    fetch: Callable[[jax.Array, jax.Array], None],
    body: Callable[[jax.Array, jax.Array, Any], Any],
    carry: Any,
) -> Any:
    """Folds body(tile, slot, carry) over tiles, while the next tile is copied to the other slot."""
    fetch(first, jnp.int32(0))

    def step(j: jax.Array, carry: Any) -> Any:
        slot = (j - first) & jnp.int32(1)

        @pl.when(j + jnp.int32(1) < end)
        def _() -> None:
            fetch(j + jnp.int32(1), jnp.int32(1) - slot)

        return body(j, slot, carry)

    return lax.fori_loop(first, end, step, carry)


def across(row: jax.Array, columns: int) -> jax.Array:
    """A number for each row, repeated along its columns."""
    return lax.broadcast_in_dim(row, (ROWS, columns), [0])


def tiles_in_memory(dtype: Any, *shape: int) -> Any:
    """Shared memory in the order that wgmma reads."""
    tiling: Any = plgpu.TilingTransform  # pyright takes both for abstract
    swizzle: Any = plgpu.SwizzleTransform
    order = tiling((8, 64)), swizzle(128)
    return plgpu.SMEM(shape, dtype, transforms=order)


def launch(
    function: Callable[..., None],
    shape: Shape,
    results: Any,
    scratch: Sequence[Any],
    arrays: Sequence[jax.Array],
    blocks: int,
    interpret: Any,
) -> Any:
    """Runs a program for each block, head and example."""
    return plgpu.kernel(
        function,
        out_type=results,
        scratch_types=scratch,
        grid=(shape.batch, shape.heads, blocks),  # the last one varies fastest
        grid_names=("example", "head", "block"),
        compiler_params=plgpu.CompilerParams(
            approx_math=True, lowering_semantics=plgpu.LoweringSemantics.Lane
        ),
        interpret=interpret,
    )(*arrays)
