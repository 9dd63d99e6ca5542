"""Linear indices, in the global array, of the elements of a shard or of a batch of examples."""

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
    """Row-major indices in the global array, as (low, high) words.

    ``wide`` says whether indices may exceed 32 bits.
    """
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
        # Shows the compiler that no block crosses a row, whatever the start of the shard.
        four = jnp.asarray(3, dtype)
        index = ((first + (position & ~four)) & ~four) | (position & four)
    else:
        index = first + position
    if not wide:
        # Always zero, which LLVM sees but XLA does not. For a constant XLA would compute the rounds
        # that depend on the key alone in separate kernels.
        return index, index >> jnp.uint32(31) >> jnp.uint32(1)
    return split(index)


def index_in_example(batch: tuple[int, ...], size: int) -> jax.Array:
    """uint32[*batch, size]: indices in each example, computed from indices in the batch below 2^32.

    From indices without the batch, XLA on GPU computes what all examples share, such as the first
    products of each block, in separate kernels, and then cannot tell which elements share a block.
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
    """Whether a shard of known sizes is sharded at most along the first dimension that is not 1.

    Then its elements are consecutive in the global array, and its start is a multiple of the
    product of the sizes after that dimension.
    """
    if not are_known(shape):
        return False
    first = next((axis for axis, size in enumerate(global_shape) if size != 1), len(shape))
    return tuple(shape[first + 1 :]) == tuple(global_shape[first + 1 :])


def flat_size(shape: Sequence[int], global_shape: Sequence[int], starts: bool) -> int:
    """The number of elements of the global array; made odd if a shard may begin inside a block.

    A shard begins at a multiple of four if the row lengths are multiples of four. Otherwise it need
    not, even if both arrays have a multiple of four elements. An odd size keeps ``linear_index``
    from assuming it.
    """
    size = math.prod(global_shape)
    return size | 1 if starts and not _rows_divide_by_4(shape, global_shape) else size


def _rows_divide_by_4(shape: Sequence[int], global_shape: Sequence[int]) -> bool:
    """Whether all rows of a shard begin at multiples of four, even if shards are uneven."""
    if not are_known((*shape, *global_shape)):
        return False
    return bool(shape) and shape[-1] % 4 == 0 and global_shape[-1] % 4 == 0
