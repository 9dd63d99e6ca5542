"""The xla form for GPUs: of one dimension, where nothing has to be cut by dimensions.

XLA on GPU gives a thread four elements, and sees that they share a block: of one dimension whatever
its size, of several only where the rows divide by four. So the noise is of one dimension where its
elements follow one another and share a threshold; where that is not enough, the whole formula is.
"""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from flaxnoise.backends import xla
from flaxnoise.backends.linear_index import flat_size, is_cut_along_first
from flaxnoise.stream.kinds import KINDS

Operands = Mapping[str, jax.Array]

# XLA on GPU unrolls only sizes that divide by four. From this size on the whole blocks of others
# are a kernel of their own, which saves more time than that of the remainder takes to start.
SPLIT_FROM = 1 << 20


def affine(
    operands: Operands,
    *,
    kind: str,
    shape: tuple[int, ...],
    global_shape: tuple[int, ...] | None,
    dtype: jax.typing.DTypeLike,
    wide: bool = False,
) -> jax.Array:
    """y = x·(a + b·n) + (c + d·n); as xla.affine."""
    whole = global_shape or shape
    how: dict[str, Any] = {"kind": kind, "dtype": dtype, "wide": wide}
    if not _is_better_flat(operands, kind, shape, whole):
        return xla.affine(operands, **how, shape=shape, global_shape=whole, flat=True)
    batch_rank = operands["key"].ndim - 1
    flat = {name: _flattened(name, v, batch_rank) for name, v in operands.items()}
    size = flat_size(shape, whole, "start" in operands)
    how |= {"shape": (math.prod(shape),), "global_shape": (size,)}
    y = _in_two(flat, **how) if _is_split(operands, shape) else xla.affine(flat, **how, flat=True)
    return y.reshape(y.shape[:batch_rank] + shape)


def _is_better_flat(
    operands: Operands, kind: str, shape: tuple[int, ...], whole: tuple[int, ...]
) -> bool:
    """Whether the whole formula had better be of one dimension, and can be.

    Where n is used twice, where rows leave a remainder of two, after which XLA fails to see that a
    row's index and its column make up the flat index again, and where it is split.
    """
    if not is_cut_along_first(shape, whole) or not shape:
        return False
    used_twice = KINDS[kind].may_be_0
    if not (used_twice or shape[-1] % 4 == 2 or _is_split(operands, shape)):
        return False
    batch_rank = operands["key"].ndim - 1
    return all(
        name in ("key", "start")
        or v.shape[batch_rank:] == shape
        or xla.is_one_number(v, batch_rank)
        for name, v in operands.items()
    )


def _is_split(operands: Operands, shape: tuple[int, ...]) -> bool:
    size = math.prod(shape)
    one = "start" not in operands and set(operands["key"].shape[:-1]) <= {1}
    return one and size % 4 != 0 and SPLIT_FROM <= size < 1 << 31


def _in_two(
    operands: Operands, *, shape: tuple[int], dtype: jax.typing.DTypeLike, **how: Any
) -> jax.Array:
    """The formula on one dimension: first for what remains after the last whole block."""
    (size,), batch_rank = shape, operands["key"].ndim - 1
    blocks = size // 4 * 4

    def part(first: int, end: int) -> jax.Array:
        own = {name: _slice(name, v, batch_rank, first, end) for name, v in operands.items()}
        if first:
            own["start"] = jnp.asarray([first, 0], jnp.uint32).reshape((1,) * batch_rank + (2,))
        return xla.affine(own, shape=(end - first,), dtype=dtype, **how)

    remainder = part(blocks, size)
    y = lax.empty((*remainder.shape[:-1], size), dtype)
    y = lax.dynamic_update_slice_in_dim(y, remainder, blocks, axis=-1)
    # Else both become one kernel, which computes both for every element.
    y = lax.optimization_barrier(y)
    return lax.dynamic_update_slice_in_dim(y, part(0, blocks), 0, axis=-1)


def _slice(name: str, value: jax.Array, batch_rank: int, first: int, end: int) -> jax.Array:
    if name in ("key", "start") or xla.is_one_number(value, batch_rank):
        return value
    return lax.slice_in_dim(value, first, end, axis=batch_rank)


def _flattened(name: str, value: jax.Array, batch_rank: int) -> jax.Array:
    """With its dimensions after the batch's as one."""
    return value if name in ("key", "start") else value.reshape((*value.shape[:batch_rank], -1))
