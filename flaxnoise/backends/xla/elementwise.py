"""The formula in plain jnp, element by element; the reference for the kernels.

Each element computes its own block and selects its word. XLA on GPU unrolls loops by four, and so
merges the four evaluations of the block that four consecutive elements share.
"""

import math

import jax
import jax.numpy as jnp

from flaxnoise.backends.contract import Call, Operands
from flaxnoise.backends.xla.combine import apply_to_noise
from flaxnoise.backends.xla.generator import generator
from flaxnoise.backends.xla.index import flat_size, index_in_example, is_one_run, linear_index
from flaxnoise.backends.xla.mapped import is_mapped, mapped_draw
from flaxnoise.stream.noise import draw


def affine(call: Call, operands: Operands, *, flat: bool = False) -> jax.Array:
    """y = x·(a + b·n) + (c + d·n).

    Args:
        call: the call.
        operands: arrays by name.
        flat: whether n is drawn as an array of one dimension, if that is possible.
    """
    # For Philox's 64-bit products; all other dtypes are explicit.
    with jax.enable_x64(True):
        return apply_to_noise(_noise(call, operands, flat), call, operands)


def _noise(call: Call, operands: Operands, flat: bool) -> jax.Array:
    """n, with the batch dimensions of key, start and threshold."""
    key, threshold = operands["key"], operands.get("threshold")
    dims, whole = call.shape, call.global_shape
    if flat and is_one_run(dims, whole) and call.is_number("threshold"):
        whole = (flat_size(dims, whole, "start" in operands),)
        dims = (math.prod(dims),)
        if threshold is not None:
            threshold = threshold.reshape((*threshold.shape[: call.batch_rank], 1))
    flat = flat and len(dims) == 1
    batch = key.shape[:-1]
    ones = (1,) * len(dims) if batch else ()
    k0, k1, k2, k3 = (key[..., i].reshape(batch + ones) for i in range(4))
    if flat and _are_whole_examples(call, batch, dims[0]):
        low, high = index_in_example(batch, dims[0]), jnp.uint32(0)
    else:
        low, high = linear_index(dims, whole, operands.get("start"), call.wide)
    words = (k0, k1, k2, k3), low, high, threshold
    if is_mapped(call):
        n = mapped_draw(call, *words)
    else:
        n = draw(call.kind, *words, generator(call.platform))
    return n if dims is call.shape else n.reshape(n.shape[: call.batch_rank] + call.shape)


def _are_whole_examples(call: Call, batch: tuple[int, ...], size: int) -> bool:
    """Whether there are several whole examples, and indices in the batch are below 2^32."""
    if "start" in call.types or not call.is_static:
        return False
    return math.prod(batch) > 1 and math.prod(batch) * size <= 1 << 32
