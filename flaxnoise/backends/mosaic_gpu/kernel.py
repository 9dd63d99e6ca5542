"""The formula as a Pallas kernel for Mosaic GPU; imported only when it is used.

A program of 128 threads computes a tile of consecutive elements. Each thread loads four of every
512 elements, and so holds elements j to j + 3 of both halves of a chunk, which share one block of
the generator. Every element computes its own block, as in the xla backend; the compiler finds that
eight elements of a thread (four, for kinds of 32 bits) have the same block, and computes it once.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu

from flaxnoise.backends.contract import COEFFICIENTS, WORDS, Call, named
from flaxnoise.backends.xla.combine import combine
from flaxnoise.stream.index import join, split
from flaxnoise.stream.kinds import KINDS, Kind
from flaxnoise.stream.noise import draw
from flaxnoise.stream.threshold import EVERY

VECTOR = 4  # elements of one load: 16 bytes of float32, 8 bytes of bfloat16 and float16


class Run(NamedTuple):
    """Merged dimensions of a shard: their size, and their stride in the global array."""

    size: int
    stride: int


class Plan(NamedTuple):
    """The division of an example into tiles, and their location in the global array.

    Attributes:
        tile: elements per program.
        tiles: programs per example; elements after the last tile are not written.
        length: elements per example.
        runs: merged dimensions of a shard, the outermost first.
        wide: whether indices need 64 bits.
        alignment: power of two that divides the index of the first element.
    """

    tile: int
    tiles: int
    length: int
    runs: tuple[Run, ...]
    wide: bool
    alignment: int


def call(
    rows: Mapping[str, jax.Array],
    plan: Plan,
    *,
    batch: int,
    kind: Kind,
    dtype: jnp.dtype,
    interpret: Any = None,
) -> jax.Array:
    """dtype[batch, length]; elements after the last tile of each example are undefined.

    Args:
        rows: operands by name: [rows, 4 or 2] for words, [rows] for one number per example,
            [rows, length] for arrays. rows is batch, or 1 for operands that all examples share.
        plan: the division into tiles.
        batch: number of examples.
        kind: the kind of noise.
        dtype: dtype of the result; uint8 for bool.
        interpret: a jax.experimental.pallas.mosaic_gpu.InterpretGPUParams, to run on the CPU.
    """
    names = tuple(rows)
    layout = plgpu.Layout.WG_STRIDED((plan.tile,), vec_size=VECTOR)

    def laid_out(array: jax.Array) -> jax.Array:
        # The interpreter has no registers to lay out, and that of jax 0.10 lacks the operation.
        return plgpu.layout_cast(array, layout) if interpret is None else array

    def flaxnoise_kernel(*refs: Any) -> None:
        inputs, result = named(names, refs[:-1]), refs[-1]
        program = lax.axis_index("program")
        example = program // jnp.int32(plan.tiles) if batch > 1 else jnp.int32(0)
        number = program - example * jnp.int32(plan.tiles)
        tile = pl.ds(_first(number, plan), plan.tile)
        values = {}
        for name, ref in inputs.items():
            row = example if ref.shape[0] > 1 else 0
            if name in WORDS:
                values[name] = [ref[row, word] for word in range(ref.shape[1])]
            elif len(ref.shape) == 1:
                values[name] = ref[row]
            else:
                values[name] = laid_out(ref.at[row, tile][...])
        with jax.enable_x64(True):
            position = laid_out(lax.broadcasted_iota(jnp.uint32, (plan.tile,), 0))
            result.at[example, tile][...] = _formula(values, number, position, plan, kind, dtype)

    # No barriers are needed, as no thread reads what another one writes.
    parameters = plgpu.CompilerParams(
        lowering_semantics=plgpu.LoweringSemantics.Lane, unsafe_no_auto_barriers=True
    )
    return plgpu.kernel(
        flaxnoise_kernel,
        out_type=jax.ShapeDtypeStruct((batch, plan.length), dtype),
        grid=(batch * plan.tiles,),
        grid_names=("program",),
        compiler_params=parameters,
        interpret=interpret,
    )(*rows.values())


def _first(number: jax.Array, plan: Plan) -> jax.Array:
    """Position of a tile's first element in its example."""
    if plan.length < 1 << 31:
        return number * jnp.int32(plan.tile)
    with jax.enable_x64(True):
        return number.astype(jnp.int64) * jnp.int64(plan.tile)


def _formula(
    values: Mapping[str, Any],
    number: jax.Array,
    position: jax.Array,
    plan: Plan,
    kind: Kind,
    dtype: jnp.dtype,
) -> jax.Array:
    values = _without_zero_factor(values) if kind.name == "keep" else values
    key, threshold = tuple(values["key"]), values.get("threshold")
    index = functools.partial(_index, number.astype(jnp.uint32), position, values.get("start"))
    if kind.where_dropped is not None:
        # Two indices: the compiler merges the blocks of an index only if it has no other use.
        kept = draw(KINDS["keep"], key, *index(plan, by_blocks=False), threshold)
        n = draw(KINDS[kind.where_dropped], key, *index(plan), None)
        n = jnp.where(kept, jnp.zeros((), n.dtype), n)
    else:
        n = draw(kind, key, *index(plan, by_blocks=kind.reads != "half"), threshold)
    coefficients = {name: values[name] for name in COEFFICIENTS if name in values}
    if coefficients:
        return combine(n, values.get("x"), coefficients, dtype, zeros=kind.may_be_0)
    if n.dtype == jnp.bool_:
        n = jnp.where(n, jnp.uint32(1), jnp.uint32(0))  # Mosaic has no selects of 8 bits
    return n.astype(dtype)


def _without_zero_factor(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Replaces a factor of 0 by a threshold that drops everything: one select less per element."""
    b, threshold = values.get("b"), values["threshold"]
    if b is None or b.ndim or threshold.ndim or any(name in values for name in "acd"):
        return values
    nothing = b == 0
    return {
        **values,
        "b": jnp.where(nothing, jnp.ones((), b.dtype), b),
        "threshold": jnp.where(nothing, jnp.uint32(EVERY), threshold),
    }


def _index(
    number: jax.Array,
    position: jax.Array,
    start: Sequence[jax.Array] | None,
    plan: Plan,
    *,
    by_blocks: bool = True,
) -> tuple[jax.Array, jax.Array | None]:
    """Linear indices in the global array of the elements of a tile, as (low, high) words.

    With ``by_blocks`` the block number and the word in the block are added separately, so that the
    compiler finds the shared blocks of kinds of 32 bits.
    """
    word = jnp.uint64 if plan.wide else jnp.uint32
    first = number.astype(word) * jnp.asarray(plan.tile, word)
    offset = None
    if start is not None:
        offset = join(*start) if plan.wide else start[0]
        # Shows the alignment to the compiler, which finds shared blocks by it.
        zeros = jnp.asarray(plan.alignment.bit_length() - 1, word)
        offset = offset >> zeros << zeros
    if len(plan.runs) == 1:
        base = first if offset is None else first + offset
        low = base.astype(jnp.uint32)
        total = low + position
        if by_blocks and plan.alignment >= VECTOR:
            block = (low >> jnp.uint32(2)) + (position >> jnp.uint32(2))
            total = (block << jnp.uint32(2)) | (position & jnp.uint32(3))
        if not plan.wide:
            return total, None
        high = (base >> jnp.uint64(32)).astype(jnp.uint32)
        if plan.alignment >= plan.tile:
            return total, high
        return total, high + (total < low).astype(jnp.uint32)
    index = _across_runs(first.astype(jnp.uint32) + position, plan.runs, word)
    index = index if offset is None else index + offset
    if not plan.wide:
        return index, None
    return split(index)


def _across_runs(element: jax.Array, runs: Sequence[Run], word: Any) -> jax.Array:
    """Linear indices of the elements of a shard that is sharded along inner dimensions."""
    inner = runs[-1]
    in_fours = inner.size % 4 == 0 and all(run.stride % 4 == 0 for run in runs[:-1])
    rest = element & jnp.uint32(3) if in_fours else None
    outer = element & ~jnp.uint32(3) if in_fours else element
    index = None
    for run in reversed(runs):
        place = lax.rem(outer, jnp.full_like(outer, run.size)) if run is not runs[0] else outer
        term = place.astype(word) * jnp.asarray(run.stride, word)
        index = term if index is None else index + term
        outer = lax.div(outer, jnp.full_like(outer, run.size))
    assert index is not None
    return index if rest is None else index + rest.astype(word)


def plan(call: Call, tile: int) -> Plan:
    """The division of a call's examples into tiles."""
    shape, global_shape, length = call.shape, call.global_shape, call.size
    runs: list[Run] = []
    stride, alignment = 1, 1 << 30
    for size, whole in zip(reversed(shape), reversed(global_shape), strict=True):
        if runs and runs[-1].size * runs[-1].stride == stride:
            runs[-1] = Run(runs[-1].size * size, runs[-1].stride)
        elif size != 1 or not runs:
            runs.append(Run(size, stride))
        if size != whole:
            alignment = min(alignment, stride & -stride)
        stride *= whole
    in_fours = bool(shape) and shape[-1] % 4 == 0 and global_shape[-1] % 4 == 0
    if "start" in call.types and (alignment < 4 or stride == length):
        alignment = 4 if in_fours else 1  # as the xla backend assumes
    return Plan(
        tile=tile,
        tiles=length // tile,
        length=length,
        runs=tuple(reversed(runs)),
        wide=call.wide,
        alignment=alignment,
    )
