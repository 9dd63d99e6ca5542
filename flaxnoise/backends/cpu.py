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
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import mlir

from flaxnoise.backends import xla
from flaxnoise.backends.cpu_library import TARGET as TARGET
from flaxnoise.backends.cpu_library import kinds
from flaxnoise.backends.cpu_library import missing as missing
from flaxnoise.stream import variates
from flaxnoise.stream.kinds import KINDS
from flaxnoise.stream.sizes import are_known

Operands = Mapping[str, jax.Array]

# The kernel has every other dtype's elements converted to the precision of the coefficients by XLA.
_ELEMENTS = (jnp.float32, jnp.float64, jnp.bfloat16, jnp.float16)


def affine(
    operands: Operands,
    *,
    kind: str,
    shape: tuple[int, ...],
    global_shape: tuple[int, ...] | None,
    dtype: jax.typing.DTypeLike,
    wide: bool = True,
) -> jax.Array:
    """y = x·(a + b·n) + (c + d·n), n the noise of ``shape``; operands as in affine.primitive."""
    del wide  # the kernel's indices always have 64 bits
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
    operands: Operands, coefficients: Operands, kind: str, *, dtype: jnp.dtype, **box: Any
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


def _noise(operands: Operands, kind: str, dtype: jax.typing.DTypeLike, **box: Any) -> jax.Array:
    """n: bool for keep, uint32 for bits, else of a floating dtype."""
    operands = {k: v for k, v in operands.items() if k in ("key", "start", "threshold")}
    element = dtype if dtype in _ELEMENTS else jnp.float32
    row = KINDS[kind]
    if row.dtype != jnp.bool_:
        element = element if row.dtype == jnp.float32 else row.dtype
    if not row.drops:
        return _call(operands, kind, element, **box)
    if set(_dims(operands, "threshold")) <= {1}:
        return _call(operands, kind, jnp.bool_ if kind == "keep" else element, **box)
    threshold = operands.pop("threshold")
    kept = variates.keep(_call(operands, "halves", jnp.uint32, **box), threshold)
    if kind == "keep":
        return kept
    n = _call(operands, str(row.where_dropped), element, **box)
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
    return kernel_p.bind(
        *ordered.values(),
        kind=kind,
        operands="".join(name[0] for name in ordered),
        shape=(*batch, *shape),
        global_shape=tuple(global_shape),
        dtype=jnp.dtype(dtype),
    )


kernel_p = Primitive("flaxnoise_cpu_kernel")


@kernel_p.def_abstract_eval
def _result(*_: Any, shape: tuple[int, ...], dtype: jnp.dtype, **__: Any) -> ShapedArray:
    return ShapedArray(shape, dtype)


def _lower(
    ctx: mlir.LoweringRuleContext,
    *values: Any,
    operands: str,
    shape: tuple[int, ...],
    global_shape: tuple[int, ...],
    kind: str,
    **_: Any,
) -> Sequence[Any]:
    """The call, in place where x is not needed any more.

    XLA takes an alias as an order, and copies x first where something else reads it. Measured on a
    Xeon of 2023, float32, CPU time an element: 64 MB donated, 0.43 ns in place against 2.9 with a
    fresh result (page faults); a caller's array that lives on, 1.25 ns with a copy against 0.8. So:
    in place for all but the caller's arrays, as those of a model's inner layers are used up.
    Gradients of Dense, gelu and dropout then hold no buffer more than without dropout.
    """
    i = operands.find("x")
    whole = i >= 0 and getattr(ctx.avals_in[i], "shape", None) == shape
    in_place = whole and not _lives_on(values[i])
    rule = jax.ffi.ffi_lowering(TARGET, operand_output_aliases={i: 0} if in_place else None)
    sizes = np.asarray(global_shape, np.int64)
    return rule(ctx, *values, kind=kind, operands=operands, global_shape=sizes)


def _lives_on(value: Any) -> bool:
    """Whether it is an argument of the whole program, and not donated."""
    function = getattr(value.owner, "owner", None)
    if not hasattr(value, "arg_number") or function is None:
        return False
    attributes = function.attributes
    if "arg_attrs" not in attributes or "sym_name" not in attributes:
        return False
    own = attributes["arg_attrs"][value.arg_number]
    donated = "tf.aliasing_output" in own or "jax.buffer_donor" in own
    return attributes["sym_name"].value == "main" and not donated


mlir.register_lowering(kernel_p, _lower, platform="cpu", cacheable=False)

_MOST_DIMS = 16
_ORDER = ("key", "start", "threshold", "x", "a", "b", "c", "d")


def refuses(
    *,
    kind: str,
    partitioned: bool,
    exported: bool,
    dtype: jax.typing.DTypeLike,
    shape: Sequence[Any],
    avals: Mapping[str, Any],
    **_: Any,
) -> str | None:
    """Why the kernel cannot serve a call, or None."""
    if kind not in kinds():
        return f"its kernel does not know noise of the kind {kind!r}."
    if jnp.issubdtype(dtype, jnp.floating) and jnp.dtype(dtype).itemsize < 2:
        return f"its kernel has no {jnp.dtype(dtype)}."
    if exported:
        return "exported programs must not depend on a library of this machine."
    if partitioned:
        return "the compiler would partition the call, and cannot see into the kernel."
    dims = [*shape, *(size for aval in avals.values() for size in aval.shape)]
    if not are_known(dims):
        return "its dimensions must be known."
    batch_rank = len(avals["key"].shape) - 1
    if max(batch_rank + len(shape), *(len(aval.shape) for aval in avals.values())) > _MOST_DIMS:
        return f"it takes arrays of up to {_MOST_DIMS} dimensions, with those of vmap."
    return None
