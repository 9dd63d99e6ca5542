"""Which elements of the global array those of an array, of a shard, of an example are."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from flaxnoise.stream.index import join, split
from flaxnoise.stream.sizes import are_known, is_one


def linear_index(
    shape: Sequence[int], global_shape: Sequence[int], start: jax.Array | None, wide: bool
) -> tuple[jax.Array, jax.Array]:
    """Row-major index in the global array, as (low, high) words; ``wide``: beyond 32 bits."""
    dtype = jnp.uint64 if wide else jnp.uint32
    first = jnp.zeros((1,) * len(shape), dtype)
    position = first
    stride = 1
    for axis in reversed(range(len(shape))):
        if not is_one(shape[axis]):
            step = lax.broadcasted_iota(dtype, shape, axis) * jnp.asarray(stride).astype(dtype)
            first, position = (first + step, position) if axis < len(shape) - 1 else (first, step)
        stride = stride * global_shape[axis]
    if start is not None:
        start = start.reshape(start.shape[:-1] + (1,) * len(shape) + (2,))
        first = first + (join(start[..., 0], start[..., 1]) if wide else start[..., 0])
    if _rows_divide_by_4(shape, global_shape):
        # Tells the compiler that a block is in one row, whatever a shard's first element is.
        four = jnp.asarray(3, dtype)
        index = ((first + (position & ~four)) & ~four) | (position & four)
    else:
        index = first + position
    if not wide:
        # Zero, but not to XLA, which would compute rounds of the generator that only know the key
        # in kernels of their own; to the machine code's compiler it is.
        return index, index >> jnp.uint32(31) >> jnp.uint32(1)
    return split(index)


def index_in_example(batch: tuple[int, ...], size: int) -> jax.Array:
    """uint32[*batch, size]: the index in each example, from that in the batch, below 2^32.

    From an index without the batch XLA on GPU computes what examples share, such as the first
    products of a block, in kernels of their own; after that nothing tells which elements share one.
    """
    examples = math.prod(batch)
    first = lax.iota(jnp.uint32, examples).reshape(examples, 1) * jnp.uint32(size)
    index = lax.iota(jnp.uint32, examples * size).reshape(examples, size)
    if size % 4 == 0:
        four = jnp.uint32(3)
        index = (((index & ~four) - first) & ~four) | (index & four)
    else:
        index = index - first
    return index.reshape(*batch, size)


def is_one_run(shape: Sequence[int], global_shape: Sequence[int]) -> bool:
    """Whether a shard, of known sizes, is sharded along the first dimension that is not 1 alone.

    Then its elements follow one another, and it begins at a multiple of what a row takes.
    """
    if not are_known(shape):
        return False
    first = next((axis for axis, size in enumerate(global_shape) if size != 1), len(shape))
    return tuple(shape[first + 1 :]) == tuple(global_shape[first + 1 :])


def flat_size(shape: Sequence[int], global_shape: Sequence[int], starts: bool) -> int:
    """Elements of the global array, as the size of one dimension; odd where nothing is known.

    A start is a multiple of four where rows are. It need not be one where rows are not, even if
    both arrays have a multiple of four elements: rows of 1030 may begin anywhere in six of them.
    """
    size = math.prod(global_shape)
    return size | 1 if starts and not _rows_divide_by_4(shape, global_shape) else size


def _rows_divide_by_4(shape: Sequence[int], global_shape: Sequence[int]) -> bool:
    """Whether all rows of a shard begin at multiples of four, also where shards are uneven."""
    if not are_known((*shape, *global_shape)):
        return False
    return bool(shape) and shape[-1] % 4 == 0 and global_shape[-1] % 4 == 0
