"""The mosaic_gpu backend: a Pallas kernel for Hopper and later NVIDIA GPUs, through Mosaic GPU.

The kernel is opt-in: ``with flaxnoise.backend("mosaic_gpu"):``. It computes each block of the
generator once for all elements that share it; the xla backend does so for four elements at a time.
But XLA cannot fuse a kernel with neighbouring operations, which costs two passes through memory.
By instruction counts and memory traffic of compiled programs (bench/results/aot.jsonl),
memory-bound calls gain nothing, and normal noise in 16-bit dtypes may gain. It has not been
measured on a device.

It needs compute capability 9.0 or later. For programs whose GPUs jax does not report, and for
exports, the environment variable FLAXNOISE_CUDA_CAPABILITY gives the capability; without it, that
of the local GPUs is checked.

Operands are one number for each example, or arrays of x's dimensions. Elements after the last whole
tile are computed by the xla backend or from a padded copy.
"""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp

from flaxnoise.backends.contract import COEFFICIENTS, WORDS, Backend, Call, Operands
from flaxnoise.backends.mosaic_gpu import devices
from flaxnoise.backends.mosaic_gpu.attention import MosaicGpuAttention
from flaxnoise.backends.xla import elementwise, flat
from flaxnoise.backends.xla.combine import apply_to_noise
from flaxnoise.stream.index import join, split

TILES = (4096, 2048, 1024)  # elements of one program; multiples of a chunk of the stream
_SQRT_SINCE = (0, 12)
_FLOATS = (jnp.float32, jnp.bfloat16, jnp.float16)


@dataclasses.dataclass(frozen=True)
class MosaicGpu(Backend):
    """The kernel.

    Attributes:
        interpret: a jax.experimental.pallas.mosaic_gpu.InterpretGPUParams, to run on the CPU.
    """

    interpret: Any = None
    platforms = ("cuda",)
    needs_devices = True

    def missing(self) -> str | None:
        """As Backend.missing."""
        return _missing()

    def refuses(self, call: Call) -> str | None:
        """As Backend.refuses."""
        if call.size >= 1 << 32:
            return "an example must have less than 2^32 elements."
        if "threshold" in call.types and any(
            own > 1 and size == 1
            for own, size in zip(call.dims("threshold"), call.shape, strict=True)
        ):
            return "its rate varies along dimensions that share the noise."
        if call.kind.has_root and jax.__version_info__ < _SQRT_SINCE:
            return f"Mosaic GPU of jax {jax.__version__} has no square root, which normals need."
        floats = [call.types[name].dtype for name in ("x", *COEFFICIENTS) if name in call.types]
        for own in (*floats, call.dtype):
            if jnp.issubdtype(own, jnp.inexact) and own not in _FLOATS:
                return f"its kernel has no {own}."
        return devices.refusal(call.devices, call.exported)

    def attention(self) -> MosaicGpuAttention:
        """As Backend.attention."""
        return MosaicGpuAttention(self.interpret)

    def run(self, call: Call, operands: Operands) -> jax.Array:
        """As Backend.run."""
        if not call.has_noise or call.size < TILES[-1]:
            return flat.affine(call, operands)
        if call.result[call.batch_rank :] == call.shape:
            return _fused(call, operands, self.interpret)
        # n is shared along some dimensions of x: the kernel draws it, and XLA applies the formula.
        own = {k: v for k, v in operands.items() if k in (*WORDS, "threshold")}
        n = _fused(call.on(own, dtype=jnp.dtype(call.kind.dtype)), own, self.interpret)
        with jax.enable_x64(True):
            return apply_to_noise(n, call, operands)


def _fused(call: Call, operands: Operands, interpret: Any) -> jax.Array:
    """The formula in the kernel, for results of n's shape."""
    from flaxnoise.backends.mosaic_gpu import kernel

    batch, shape, length = call.batch, call.shape, call.size
    if math.prod(batch) == 0:
        return jnp.zeros((*batch, *shape), call.dtype)
    operands = {k: v for k, v in operands.items() if k != "x" or call.has_x}
    rows = {name: _by_rows(name, v, batch, shape) for name, v in operands.items()}
    whole_tiles = [tile for tile in TILES if length % tile == 0]
    tile = whole_tiles[0] if whole_tiles else TILES[1 if length >= TILES[1] else 2]
    plan = kernel.plan(call, tile)
    run = functools.partial(
        kernel.call, batch=math.prod(batch), kind=call.kind, interpret=interpret
    )
    stored = jnp.dtype(jnp.uint8 if call.dtype == jnp.bool_ else call.dtype)
    done = plan.tiles * plan.tile
    if done < length and (len(plan.runs) > 1 or (math.prod(batch) > 1 and length % 4)):
        # The xla backend cannot index this tail, or vector loads are not aligned in every row.
        padded = -(-length // plan.tile)
        plan = plan._replace(tiles=padded, length=padded * plan.tile)
        rows = {k: _padded(v, plan.length) if _is_array(k, v) else v for k, v in rows.items()}
        y = run(rows, plan, dtype=stored)[:, :length]
    elif done < length:
        size = max(math.prod(call.global_shape), length)
        if plan.alignment < 4:
            size |= 1  # so that the xla backend does not assume an aligned start
        tail = _tail(call, rows, done, size)
        y = run(rows, plan, dtype=stored)
        y = jax.lax.dynamic_update_slice_in_dim(y, tail.astype(stored), done, axis=1)
    else:
        y = run(rows, plan, dtype=stored)
    return y.astype(call.dtype).reshape((*batch, *shape))


def _by_rows(
    name: str, value: jax.Array, batch: tuple[int, ...], shape: tuple[int, ...]
) -> jax.Array:
    """The operand with a single batch dimension, of size 1 if all examples share it."""
    own, dims = value.shape[: len(batch)], value.shape[len(batch) :]
    rows = 1 if set(own) <= {1} else math.prod(batch)
    if rows > 1:
        value = jnp.broadcast_to(value, (*batch, *dims))
    if name in WORDS:
        return value.reshape((rows, *dims))
    if name != "x" and set(dims) <= {1}:
        return value.reshape(rows)
    value = jnp.broadcast_to(value.reshape((rows, *dims)), (rows, *shape))
    return value.reshape((rows, math.prod(shape)))


def _is_array(name: str, value: jax.Array) -> bool:
    return value.ndim == 2 and name not in WORDS


def _padded(value: jax.Array, length: int) -> jax.Array:
    return jnp.pad(value, ((0, 0), (0, length - value.shape[1])))


def _tail(call: Call, rows: dict[str, jax.Array], first: int, whole: int) -> jax.Array:
    """[rows, length - first]: the elements from ``first`` on, computed by the xla backend."""
    operands = {k: v[:, first:] if _is_array(k, v) else v for k, v in rows.items()}
    operands = {k: v[:, None] if v.ndim == 1 else v for k, v in operands.items()}
    with jax.enable_x64(True):
        start = jnp.full((1,), first, jnp.uint64)
        if "start" in rows:
            start = start + join(*(rows["start"][:, word] for word in (0, 1)))
        operands["start"] = jnp.stack(split(start), axis=-1)
    tail = call.on(operands, shape=(call.size - first,), global_shape=(whole,))
    return elementwise.affine(tail, operands)


@functools.cache
def _missing() -> str | None:
    try:
        import jax.experimental.pallas.mosaic_gpu  # noqa: F401
    except ImportError as error:
        return f"this jaxlib has no Mosaic GPU: {error}"
    return None
