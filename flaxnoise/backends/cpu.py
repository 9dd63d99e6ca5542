"""The formula as one C++ kernel, called through XLA's foreign function interface.

The kernel does whole rows: coefficients and thresholds that are one number for each example of a
batch. Where they, or x, are broadcast against the noise in other ways, it draws n, and the formula
is left to XLA.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flaxnoise.backends import xla
from flaxnoise.backends.cpu_library import TARGET as TARGET
from flaxnoise.backends.cpu_library import missing as missing
from flaxnoise.stream import variates
from flaxnoise.stream.noise import Kind

Operands = Mapping[str, jax.Array]

# The kernel has every other dtype's elements converted to the precision of the coefficients by XLA.
_ELEMENTS = (jnp.float32, jnp.float64, jnp.bfloat16, jnp.float16)


def affine(
    operands: Operands,
    *,
    kind: Kind,
    shape: tuple[int, ...],
    global_shape: tuple[int, ...] | None,
    dtype: jax.typing.DTypeLike,
) -> jax.Array:
    """y = x·(a + b·n) + (c + d·n), n the noise of ``shape``; operands as in affine.primitive."""
    # Dtypes are explicit, and 64-bit ones must not depend on the mode that lowering runs under.
    with jax.enable_x64(True):
        coefficients = {name: operands[name] for name in "abcd" if name in operands}
        box = {"shape": shape, "global_shape": global_shape or shape}
        if coefficients and _is_by_rows(operands, shape):
            return _fused(operands, coefficients, kind, dtype=jnp.dtype(dtype), **box)
        n = _noise(operands, kind, dtype if not coefficients else jnp.float32, **box)
        if not coefficients:
            return n.astype(dtype)
        return xla.combine(n, operands.get("x"), coefficients, dtype)


def _is_by_rows(operands: Operands, shape: tuple[int, ...]) -> bool:
    """Whether x has n's dimensions, and all else is one number for each example of the batch."""
    x = operands.get("x")
    if x is not None and not jnp.issubdtype(x.dtype, jnp.floating):
        return False
    return (x is None or _dims(operands, "x") == shape) and all(
        set(_dims(operands, name)) <= {1} for name in ("threshold", *"abcd") if name in operands
    )


def _dims(operands: Operands, name: str) -> tuple[int, ...]:
    return operands[name].shape[operands["key"].ndim - 1 :]


def _fused(
    operands: Operands, coefficients: Operands, kind: Kind, *, dtype: jnp.dtype, **box: Any
) -> jax.Array:
    precision = functools.reduce(jnp.promote_types, [c.dtype for c in coefficients.values()])
    x = operands.get("x")
    if x is not None and "a" not in operands and "b" not in operands:
        x = None
    same = x is None or x.dtype == dtype
    direct = same and dtype in _ELEMENTS and (dtype == jnp.float64) == (precision == jnp.float64)
    element = dtype if direct else precision
    operands = {name: value for name, value in operands.items() if name not in "xabcd"}
    operands |= {name: value.astype(precision) for name, value in coefficients.items()}
    if x is not None:
        operands["x"] = x.astype(element)
    return _call(operands, kind, element, **box).astype(dtype)


def _noise(operands: Operands, kind: Kind, dtype: jax.typing.DTypeLike, **box: Any) -> jax.Array:
    """n: bool for keep, uint32 for bits, else of a floating dtype."""
    operands = {k: v for k, v in operands.items() if k in ("key", "start", "threshold")}
    element = dtype if dtype in _ELEMENTS else jnp.float32
    if kind == "bits":
        return _call(operands, kind, jnp.uint32, **box)
    if kind not in ("keep", "masked_normal"):
        return _call(operands, kind, element, **box)
    if set(_dims(operands, "threshold")) <= {1}:
        return _call(operands, kind, jnp.bool_ if kind == "keep" else element, **box)
    threshold = operands.pop("threshold")
    kept = variates.keep(_call(operands, "keep_words", jnp.uint32, **box), threshold)
    if kind == "keep":
        return kept
    n = _call(operands, "normal", element, **box)
    return jnp.where(kept, jnp.zeros((), n.dtype), n)


def _call(
    operands: Operands,
    kind: str,
    dtype: jax.typing.DTypeLike,
    *,
    shape: tuple[int, ...],
    global_shape: tuple[int, ...],
) -> jax.Array:
    """One call of the kernel, on x and operands that are one number for each example."""
    batch_rank = operands["key"].ndim - 1
    ordered = {
        name: value if name in ("key", "start", "x") else value.reshape(value.shape[:batch_rank])
        for name, value in sorted(operands.items(), key=lambda item: _ORDER.index(item[0]))
    }
    batch = np.broadcast_shapes(*(value.shape[:batch_rank] for value in ordered.values()))
    result = jax.ShapeDtypeStruct((*batch, *shape), dtype)
    # In place: XLA copies x first where it is used again, never where it is donated or used up.
    # Measured on a Xeon of 2023: 64 MB donated, 0.43 ns of CPU time an element against 2.9 with a
    # fresh result (page faults); gradients of Dense, gelu and dropout hold no buffer more than
    # those without dropout; the copy of an x that lives on costs 0.3 to 0.5 ns an element.
    aliases = {}
    if "x" in ordered and ordered["x"].shape == result.shape:
        aliases = {list(ordered).index("x"): 0}
    call = jax.ffi.ffi_call(TARGET, result, input_output_aliases=aliases)
    return call(
        *ordered.values(),
        kind=kind,
        operands="".join(name[0] for name in ordered),
        global_shape=np.asarray(global_shape, np.int64),
    )


_KINDS = ("bits", "keep", "normal", "masked_normal", "uniform", "unit_uniform", "laplace")
_ORDER = ("key", "start", "threshold", "x", "a", "b", "c", "d")


def refuses(
    *,
    kind: Kind,
    partitioned: bool,
    exported: bool,
    dtype: jax.typing.DTypeLike,
    shape: Sequence[Any],
    avals: Mapping[str, Any],
    **_: Any,
) -> str | None:
    """Why the kernel cannot serve a call, or None."""
    if kind not in _KINDS:
        return f"its kernel does not know noise of the kind {kind!r}."
    if jnp.issubdtype(dtype, jnp.floating) and jnp.dtype(dtype).itemsize < 2:
        return f"its kernel has no {jnp.dtype(dtype)}."
    if exported:
        return "exported programs must not depend on a library of this machine."
    if partitioned:
        return "the compiler would partition the call, and cannot see into the kernel."
    dims = [*shape, *(size for aval in avals.values() for size in aval.shape)]
    if not all(isinstance(size, int) for size in dims):
        return "its dimensions must be known."
    return None
