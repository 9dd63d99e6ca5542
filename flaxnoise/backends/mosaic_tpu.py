"""The formula as one Pallas kernel for TPU, written in Mosaic.

The kernel takes coefficients and thresholds that are one number for each example of a batch. Where
they, or x, are broadcast against the noise in other ways, it draws n, and the formula is left to
XLA.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from flaxnoise.backends import xla
from flaxnoise.backends.mosaic_tpu_grid import Grid, grids_of
from flaxnoise.stream import variates
from flaxnoise.stream.index import CHUNK
from flaxnoise.stream.kinds import KINDS
from flaxnoise.stream.sizes import are_known

Operands = Mapping[str, jax.Array]

_FLOATS = (jnp.float32, jnp.bfloat16, jnp.float16)


def affine(
    operands: Operands,
    *,
    kind: str,
    shape: tuple[int, ...],
    global_shape: tuple[int, ...] | None,
    dtype: jax.typing.DTypeLike,
    wide: bool = False,
    interpret: Any = False,
) -> jax.Array:
    """y = x·(a + b·n) + (c + d·n), n the noise of ``shape``; operands as in affine.primitive.

    ``interpret`` as in pallas_call: computes on any platform what the kernel does.
    """
    call = {"kind": kind, "shape": shape, "dtype": dtype}
    form = functools.partial(xla.affine, **call, global_shape=global_shape, wide=wide)
    for grid in reversed(grids_of(shape, global_shape or shape)):
        grid = grid._replace(wide=grid.wide or wide)
        aligned = functools.partial(_aligned, **call, grid=grid, interpret=interpret)
        form = functools.partial(_where_aligned, aligned, form, grid.alignment)
    return form(operands)


def _where_aligned(
    form: Callable[[Operands], jax.Array],
    other: Callable[[Operands], jax.Array],
    alignment: int,
    operands: Operands,
) -> jax.Array:
    """The form where all examples start at multiples of the alignment, else the other."""
    start = operands.get("start")
    if start is None:
        return form(operands)
    return lax.cond(jnp.all(start[..., 0] % alignment == 0), form, other, dict(operands))


def _aligned(operands: Operands, *, kind: str, dtype: Any, **how: Any) -> jax.Array:
    """The formula where all examples start at multiples of the grid's alignment."""
    shape = how["shape"]
    coefficients = {name: operands[name] for name in "abcd" if name in operands}
    with jax.enable_x64(False):
        if coefficients and _is_by_rows(operands, shape):
            return _call(operands, coefficients, kind, dtype=dtype, **how)
        names = ("key", "start", "threshold")
        own = {name: operands[name] for name in names if name in operands}
        threshold = own.get("threshold")
        if threshold is None or _is_one_number(threshold, operands):
            n = _call(own, {}, kind, dtype=_stored(kind), **how)
        else:
            n = _above_thresholds(own, kind, **how)
        if kind == "keep":
            n = n.astype(jnp.bool_)
        if not coefficients:
            return n.astype(dtype)
    y = xla.combine(n, operands.get("x"), coefficients, dtype)
    return jnp.broadcast_to(y, jnp.broadcast_shapes(n.shape, y.shape))


def refuses(
    *,
    kind: str,
    partitioned: bool,
    dtype: jax.typing.DTypeLike,
    shape: Sequence[Any],
    global_shape: Sequence[Any] | None,
    avals: Mapping[str, Any],
    **_: Any,
) -> str | None:
    """Why the kernel cannot serve a call, or None."""
    floats = [avals[name].dtype for name in ("x", *"abcd") if name in avals]
    if floats or KINDS[kind].dtype == jnp.float32:
        floats.append(dtype)
    others = [jnp.dtype(own).name for own in floats if own not in _FLOATS]
    if others:
        return f"its kernel has float32, bfloat16 and float16, not {others[0]}."
    if partitioned:
        return "the compiler would partition the call, and cannot see into the kernel."
    dims = [*shape, *(size for aval in avals.values() for size in aval.shape)]
    if not are_known(dims):
        return "its dimensions must be known."
    if not grids_of(shape, global_shape or shape):
        return "the rows of the shard do not follow one another in the global array."
    return None


def is_faster(*, shape: Sequence[int], global_shape: Sequence[int] | None, **_: Any) -> bool:
    """Whether the kernel is chosen unasked, for a call that it can serve.

    By static bundles for 1024 float32 elements on v5e (`python -m bench aot`; compiled, not run): a
    mask takes the kernel 13 to 30, the xla form, which computes a block of Philox for every
    element, 98. What XLA would have fused goes through memory once more, and rows that do not
    fill their tiles are copied there and back: less than 30 together, and no more to cut few long
    rows into chunks. But to cut rows that are no multiple of 1024 takes XLA from 130 to 440: they
    stay with it. An example takes the time of 32 rows at least, and a turn of the grid: so, 16
    chunks of 1024 elements must be there.
    """
    grid = grids_of(shape, global_shape or shape)[0]
    as_rows = bool(shape) and (grid.columns == shape[-1] or shape[-1] % CHUNK == 0)
    return as_rows and grid.is_worth_it and math.prod(shape) >= 16 * CHUNK


def _above_thresholds(operands: Operands, kind: str, **how: Any) -> jax.Array:
    """Noise that drops by thresholds that differ between the elements of an example."""
    operands = dict(operands)
    threshold = operands.pop("threshold")
    kept = variates.keep(_call(operands, {}, "halves", dtype=jnp.uint32, **how), threshold)
    if kind == "keep":
        return kept
    n = _call(operands, {}, "normal", dtype=jnp.float32, **how)
    return jnp.where(kept, jnp.float32(0), n)


def _call(
    operands: Operands,
    coefficients: Operands,
    kind: str,
    *,
    shape: tuple[int, ...],
    grid: Grid,
    dtype: jax.typing.DTypeLike,
    interpret: Any,
) -> jax.Array:
    """One call of the kernel, on x and operands that are one number for each example."""
    from flaxnoise.backends import mosaic_tpu_kernel  # imports Pallas, which takes its time

    batch_rank = operands["key"].ndim - 1
    arrays = [*operands.values(), *coefficients.values()]
    batch = np.broadcast_shapes(*(value.shape[:batch_rank] for value in arrays))
    examples, size = math.prod(batch), math.prod(shape)
    if examples * size == 0:
        return jnp.zeros((*batch, *shape), dtype)

    def scalar(value: jax.Array) -> jax.Array:
        value = value.reshape(value.shape[:batch_rank])
        return jnp.broadcast_to(value, batch).reshape(examples, 1, 1)

    none = jnp.zeros((1,) * batch_rank, jnp.uint32)
    words = [operands["key"][..., i] for i in range(4)]
    words += [operands["start"][..., i] if "start" in operands else none for i in range(2)]
    words.append(operands.get("threshold", none))

    x = operands.get("x") if "a" in coefficients or "b" in coefficients else None
    if x is not None:
        each = batch if x.shape[:batch_rank] != (1,) * batch_rank else x.shape[:batch_rank]
        x = jnp.broadcast_to(x, (*each, *shape)).reshape(-1, size)
        x = _cut(x.astype(_element(x.dtype)), grid)
    y = mosaic_tpu_kernel.call(
        jnp.concatenate([scalar(word) for word in words], axis=-1),
        {name: scalar(value) for name, value in coefficients.items()},
        x,
        kind=kind,
        grid=grid,
        dtype=_element(dtype),
        interpret=interpret,
    )
    return y.reshape(examples, -1)[:, :size].reshape(*batch, *shape).astype(dtype)


def _cut(x: jax.Array, grid: Grid) -> jax.Array:
    """[examples, size] → [examples, rows, columns], with zeros at the end where it needs some."""
    missing = grid.rows * grid.columns - x.shape[1]
    padded = jnp.pad(x, ((0, 0), (0, missing))) if missing else x
    return padded.reshape(-1, grid.rows, grid.columns)


def _is_by_rows(operands: Operands, shape: tuple[int, ...]) -> bool:
    """Whether x has n's dimensions, and all else is one number for each example of the batch."""
    x = operands.get("x")
    if x is not None and x.shape[operands["key"].ndim - 1 :] != shape:
        return False
    names = [name for name in ("threshold", *"abcd") if name in operands]
    return all(_is_one_number(operands[name], operands) for name in names)


def _is_one_number(value: jax.Array, operands: Operands) -> bool:
    return set(value.shape[operands["key"].ndim - 1 :]) <= {1}


def _stored(kind: str) -> jax.typing.DTypeLike:
    """What the kernel writes for n: Mosaic stores no bool."""
    dtype = KINDS[kind].dtype
    return jnp.int32 if dtype == jnp.bool_ else dtype


def _element(dtype: jax.typing.DTypeLike) -> jax.typing.DTypeLike:
    """What the kernel reads or writes for a dtype: Mosaic loads no float16, XLA converts it."""
    return jnp.float32 if dtype == jnp.float16 else dtype
