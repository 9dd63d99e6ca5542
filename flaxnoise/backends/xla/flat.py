"""The xla backend on GPUs: the formula on flattened arrays, if only the first dimension is sharded.

XLA on GPU gives each thread four consecutive elements, and has to find that they share a block. On
arrays of one dimension it always does; on several dimensions only if the row length is a multiple
of four. So n is drawn flat if its elements are consecutive in the global array and share a
threshold. Where that is not enough, the whole formula is computed flat (``_is_better_flat``).
"""

import jax
import jax.numpy as jnp
from jax import lax

from flaxnoise.backends.contract import WORDS, Call, Operands
from flaxnoise.backends.xla import elementwise
from flaxnoise.backends.xla.index import flat_size, is_one_run

# XLA on GPU unrolls only sizes that are multiples of four. From this size on, other sizes are split
# into the whole blocks and a remainder: unrolling saves more time than the second kernel launch.
SPLIT_FROM = 1 << 20


def affine(call: Call, operands: Operands) -> jax.Array:
    """y = x·(a + b·n) + (c + d·n)."""
    if not _is_better_flat(call):
        return elementwise.affine(call, operands, flat=True)
    flat = {name: _flattened(name, v, call.batch_rank) for name, v in operands.items()}
    whole = (flat_size(call.shape, call.global_shape, "start" in operands),)
    one = call.on(flat, shape=(call.size,), global_shape=whole)
    y = _in_two(one, flat) if _is_split(call) else elementwise.affine(one, flat, flat=True)
    y = jnp.broadcast_to(y, one.result)
    return y.reshape(y.shape[: call.batch_rank] + call.shape)


def _is_better_flat(call: Call) -> bool:
    """Whether the whole formula can be computed flat, and is faster so.

    It is faster if n is used twice, if the array is split, or if the row length modulo four is two,
    where XLA does not simplify row and column back to the flat index.
    """
    if not is_one_run(call.shape, call.global_shape) or not call.shape:
        return False
    used_twice = call.kind.may_be_0 and bool(call.coefficients)
    if not (used_twice or call.shape[-1] % 4 == 2 or _is_split(call)):
        return False
    return all(
        name in WORDS or call.dims(name) == call.shape or call.is_number(name)
        for name in call.types
    )


def _is_split(call: Call) -> bool:
    one = "start" not in call.types and set(call.types["key"].shape[:-1]) <= {1}
    return one and call.size % 4 != 0 and SPLIT_FROM <= call.size < 1 << 31


def _in_two(call: Call, operands: Operands) -> jax.Array:
    """The formula on one dimension: first the remainder, then the whole blocks."""
    size, blocks = call.size, call.size // 4 * 4

    def part(first: int, end: int) -> jax.Array:
        own = {name: _slice(name, v, call, first, end) for name, v in operands.items()}
        if first:
            start = jnp.asarray([first, 0], jnp.uint32)
            own["start"] = start.reshape((1,) * call.batch_rank + (2,))
        piece = call.on(own, shape=(end - first,))
        return jnp.broadcast_to(elementwise.affine(piece, own), piece.result)

    remainder = part(blocks, size)
    y = lax.empty((*remainder.shape[:-1], size), call.dtype)
    y = lax.dynamic_update_slice_in_dim(y, remainder, blocks, axis=-1)
    # Without the barrier XLA fuses both into one kernel, which computes both for every element.
    y = lax.optimization_barrier(y)
    return lax.dynamic_update_slice_in_dim(y, part(0, blocks), 0, axis=-1)


def _slice(name: str, value: jax.Array, call: Call, first: int, end: int) -> jax.Array:
    if name in WORDS or call.is_number(name):
        return value
    return lax.slice_in_dim(value, first, end, axis=call.batch_rank)


def _flattened(name: str, value: jax.Array, batch_rank: int) -> jax.Array:
    """The operand with its dimensions after the batch dimensions merged into one."""
    return value if name in WORDS else value.reshape((*value.shape[:batch_rank], -1))
