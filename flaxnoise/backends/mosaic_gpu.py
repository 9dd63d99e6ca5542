"""The formula as a Pallas kernel for NVIDIA GPUs from Hopper on, through Mosaic GPU.

It draws a block of the generator once for all elements that share it, where the xla form does so
for four at a time. It serves who asks for it: ``with flaxnoise.backend("mosaic_gpu"):``. It is
never chosen by itself: XLA cannot fuse it with its neighbours, which costs two passes through
memory, and alone it gains on paper (bench/results/aot.jsonl) nothing where memory is the limit of
both, which leaves normal noise in 16 bits. That rule stands until a device has been measured.

It needs a GPU of compute capability 9.0. Where a program is for GPUs that jax does not tell, as an
export is, the environment variable FLAXNOISE_CUDA_CAPABILITY says what they have; without it those
at hand count.

The kernel does examples whose numbers are scalars or arrays of x's dimensions. What is left over
after the last whole tile of 1024 elements takes the xla form, or comes from a padded copy.
"""

import functools
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flaxnoise.backends import xla, xla_flat
from flaxnoise.stream.kinds import KINDS
from flaxnoise.stream.sizes import are_known, needs_64_bits

Operands = dict[str, jax.Array]

ENVIRONMENT = "FLAXNOISE_CUDA_CAPABILITY"  # of the GPUs of programs that are not for those at hand
TILES = (4096, 2048, 1024)  # elements of one program; each holds whole chunks of the stream
_FIRST_CAPABILITY = 9.0
_SQRT_SINCE = (0, 12)
_FLOATS = (jnp.float32, jnp.bfloat16, jnp.float16)


def affine(
    operands: Mapping[str, jax.Array],
    *,
    kind: str,
    shape: tuple[int, ...],
    global_shape: tuple[int, ...] | None,
    dtype: jax.typing.DTypeLike,
    wide: bool = False,
    interpret: Any = None,
) -> jax.Array:
    """y = x·(a + b·n) + (c + d·n), n the noise of ``shape``; operands as in affine.primitive.

    Args:
        operands: arrays by name.
        kind: which noise n is.
        shape: dimensions of n.
        global_shape: of the whole of n, where this is a shard.
        dtype: of the result.
        wide: whether indices may exceed 32 bits though the global shape does not.
        interpret: a jax.experimental.pallas.mosaic_gpu.InterpretGPUParams, to run on the CPU.
    """
    coefficients = {name: operands[name] for name in "abcd" if name in operands}
    box = {"kind": kind, "shape": shape, "global_shape": global_shape, "wide": wide}
    noisy = not coefficients or "b" in coefficients or "d" in coefficients
    if not noisy or math.prod(shape) < TILES[-1]:
        return xla_flat.affine(operands, **box, dtype=dtype)
    draw = functools.partial(_fused, **box, interpret=interpret)
    batch_rank = operands["key"].ndim - 1
    dims = np.broadcast_shapes(
        shape, *(v.shape[batch_rank:] for k, v in operands.items() if k not in ("key", "start"))
    )
    if dims == tuple(shape):
        return draw(dict(operands), dtype=dtype)
    # Noise that is shared along some dimensions of x is drawn once, and the rest left to XLA.
    own = {k: v for k, v in operands.items() if k in ("key", "start", "threshold")}
    n = draw(own, dtype=KINDS[kind].dtype)
    if not coefficients:
        return jnp.broadcast_to(n.astype(dtype), (*n.shape[:batch_rank], *dims))
    zeros = KINDS[kind].may_be_0
    with jax.enable_x64(True):
        y = xla.combine(n, operands.get("x"), coefficients, jnp.dtype(dtype), zeros=zeros)
        return jnp.broadcast_to(y, jnp.broadcast_shapes(n.shape, y.shape))


def _fused(
    operands: Operands,
    *,
    kind: str,
    shape: tuple[int, ...],
    global_shape: tuple[int, ...] | None,
    wide: bool,
    dtype: jax.typing.DTypeLike,
    interpret: Any,
) -> jax.Array:
    """The formula for examples of n's own dimensions, in the kernel."""
    from flaxnoise.backends import mosaic_gpu_kernel as kernel

    batch_rank = operands["key"].ndim - 1
    batch = np.broadcast_shapes(*(v.shape[:batch_rank] for v in operands.values()))
    if math.prod(batch) == 0:
        return jnp.zeros((*batch, *shape), dtype)
    if "a" not in operands and "b" not in operands:
        operands.pop("x", None)
    rows = {k: _by_rows(k, v, batch, shape) for k, v in operands.items()}
    whole = tuple(global_shape or shape)
    length = math.prod(shape)
    whole_tiles = [tile for tile in TILES if length % tile == 0]
    tile = whole_tiles[0] if whole_tiles else TILES[1 if length >= TILES[1] else 2]
    wide = wide or needs_64_bits(whole)
    plan = kernel.plan(shape, whole, tile=tile, sharded="start" in operands, wide=wide)
    run = functools.partial(kernel.call, batch=math.prod(batch), kind=kind, interpret=interpret)
    stored = jnp.dtype(jnp.uint8 if dtype == jnp.bool_ else dtype)
    done = plan.tiles * plan.tile
    if done < length and (len(plan.runs) > 1 or (math.prod(batch) > 1 and length % 4)):
        # A tail that the xla form cannot address, or rows that 16-byte loads cannot.
        padded = -(-length // plan.tile)
        plan = plan._replace(tiles=padded, length=padded * plan.tile)
        rows = {k: _padded(v, plan.length) if _is_array(k, v) else v for k, v in rows.items()}
        y = run(rows, plan, dtype=stored)[:, :length]
    elif done < length:
        size = max(math.prod(whole), length)
        if plan.alignment < 4:
            size |= 1  # of an odd size, the xla form assumes nothing of where a shard begins
        tail = _tail(rows, done, kind=kind, length=length, whole=size, dtype=dtype, wide=wide)
        y = run(rows, plan, dtype=stored)
        y = jax.lax.dynamic_update_slice_in_dim(y, tail.astype(stored), done, axis=1)
    else:
        y = run(rows, plan, dtype=stored)
    return y.astype(dtype).reshape((*batch, *shape))


def _by_rows(
    name: str, value: jax.Array, batch: tuple[int, ...], shape: tuple[int, ...]
) -> jax.Array:
    """With one batch dimension, of size 1 where all examples share the operand."""
    own, dims = value.shape[: len(batch)], value.shape[len(batch) :]
    rows = 1 if set(own) <= {1} else math.prod(batch)
    if rows > 1:
        value = jnp.broadcast_to(value, (*batch, *dims))
    if name in ("key", "start"):
        return value.reshape((rows, *dims))
    if name != "x" and set(dims) <= {1}:
        return value.reshape(rows)
    value = jnp.broadcast_to(value.reshape((rows, *dims)), (rows, *shape))
    return value.reshape((rows, math.prod(shape)))


def _is_array(name: str, value: jax.Array) -> bool:
    return value.ndim == 2 and name not in ("key", "start")


def _padded(value: jax.Array, length: int) -> jax.Array:
    return jnp.pad(value, ((0, 0), (0, length - value.shape[1])))


def _tail(
    rows: Operands, first: int, *, kind: str, length: int, whole: int, **how: Any
) -> jax.Array:
    """dtype[rows, length - first]: the elements from the first on, by the xla form."""
    operands = {k: v[:, first:] if _is_array(k, v) else v for k, v in rows.items()}
    operands = {k: v[:, None] if v.ndim == 1 else v for k, v in operands.items()}
    with jax.enable_x64(True):
        start = jnp.full((1,), first, jnp.uint64)
        if "start" in rows:
            low, high = (rows["start"][:, word].astype(jnp.uint64) for word in (0, 1))
            start = start + (low | (high << jnp.uint64(32)))
        words = [start.astype(jnp.uint32), (start >> jnp.uint64(32)).astype(jnp.uint32)]
        operands["start"] = jnp.stack(words, axis=-1)
    shape = (length - first,)
    return xla.affine(operands, kind=kind, shape=shape, global_shape=(whole,), **how)


@functools.cache
def missing() -> str | None:
    """Why there is no kernel in this installation, or None."""
    try:
        import jax.experimental.pallas.mosaic_gpu  # noqa: F401
    except ImportError as error:
        return f"this jaxlib has no Mosaic GPU: {error}"
    return None


def refuses(
    *,
    kind: str,
    partitioned: bool,
    dtype: jax.typing.DTypeLike,
    shape: Sequence[Any],
    avals: Mapping[str, Any],
    devices: Sequence[Any],
    exported: bool,
    **_: Any,
) -> str | None:
    """Why the kernel cannot serve a call, or None."""
    if partitioned:
        return "the compiler would partition the call, and cannot see into the kernel."
    sizes = [*shape, *(size for aval in avals.values() for size in aval.shape)]
    if not are_known(sizes):
        return "its dimensions must be known."
    if math.prod(shape) >= 1 << 32:
        return "an example must have less than 2^32 elements."
    if "threshold" in avals:
        own = avals["threshold"].shape[-len(shape) :] if shape else ()
        if any(mine > 1 and size == 1 for mine, size in zip(own, shape, strict=True)):
            return "its rate varies along dimensions that share the noise."
    if KINDS[kind].has_root and jax.__version_info__ < _SQRT_SINCE:
        return f"Mosaic GPU of jax {jax.__version__} has no square root, which normals need."
    floats = [avals[name].dtype for name in "xabcd" if name in avals]
    for own in (*floats, jnp.dtype(dtype)):
        if jnp.issubdtype(own, jnp.inexact) and own not in _FLOATS:
            return f"its kernel has no {own}."
    return _device_refuses(devices, exported)


def _device_refuses(devices: Sequence[Any], exported: bool) -> str | None:
    """Why those that the program is for cannot run it: on what is older, Mosaic ends the process.

    They are those that jax tells, or else what the user says, or else those at hand. Of an export
    jax tells where it was made, so that what is said counts before.
    """
    said = os.environ.get(ENVIRONMENT)
    own = [] if said is None else [(ENVIRONMENT, said)]
    told = _capabilities(devices)
    known = (own or told if exported else told or own) or _capabilities(_at_hand())
    needed = f"it needs compute capability {_FIRST_CAPABILITY} (Hopper) or later, and"
    if not known:
        return (
            f"{needed} the GPU that the program is for is neither known nor at hand. "
            f"Say what it has, as {ENVIRONMENT}={_FIRST_CAPABILITY}."
        )
    for name, capability in known:
        try:
            enough = float(capability) >= _FIRST_CAPABILITY
        except ValueError:
            return f"{needed} {name} is no number: {capability!r}."
        if not enough:
            return f"{needed} {name} has {capability}. The xla form serves it."
    return None


def _capabilities(devices: Sequence[Any]) -> list[tuple[str, str]]:
    """Names and compute capabilities of the GPUs among them."""
    found = ((device, getattr(device, "compute_capability", None)) for device in devices)
    return [(device.device_kind, str(own)) for device, own in found if own is not None]


def _at_hand() -> Sequence[Any]:
    try:
        return jax.devices("cuda")
    except RuntimeError:
        return ()
