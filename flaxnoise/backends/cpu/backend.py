"""The cpu backend: a C++ kernel that computes the whole formula, or draws n for XLA.

The kernel computes the formula if x is real and has n's shape, and coefficients and threshold are
one number for each example of the batch (``Call.is_by_rows``). Otherwise it only draws n, and XLA
applies the formula to it.
"""

import functools

import jax
import jax.numpy as jnp

from flaxnoise.backends.contract import WORDS, Backend, Call, Operands
from flaxnoise.backends.cpu import library
from flaxnoise.backends.cpu.kernel import call_kernel
from flaxnoise.backends.xla.combine import apply_to_noise
from flaxnoise.stream.kinds import KINDS

# Elements of other dtypes are converted by XLA, to the precision of the coefficients.
_ELEMENTS = (jnp.float32, jnp.float64, jnp.bfloat16, jnp.float16)
_MOST_DIMS = 16


class Cpu(Backend):
    """The C++ kernel of the compiled library."""

    platforms = ("cpu",)
    is_exportable = False
    is_in_place = True

    def missing(self) -> str | None:
        """As Backend.missing."""
        return library.missing()

    def refuses(self, call: Call) -> str | None:
        """As Backend.refuses."""
        if call.kind.name not in library.kinds():
            return f"its kernel does not know noise of the kind {call.kind.name!r}."
        if jnp.issubdtype(call.dtype, jnp.floating) and call.dtype.itemsize < 2:
            return f"its kernel has no {call.dtype}."
        if len(call.result) > _MOST_DIMS:
            return f"it takes arrays of up to {_MOST_DIMS} dimensions, with those of vmap."
        return None

    def run(self, call: Call, operands: Operands) -> jax.Array:
        """As Backend.run."""
        # Lowering may run in 32-bit mode, which must not change 64-bit dtypes.
        with jax.enable_x64(True):
            x = operands.get("x")
            real = x is None or jnp.issubdtype(x.dtype, jnp.floating)
            if call.coefficients and real and call.is_by_rows:
                return _fused(call, operands)
            return apply_to_noise(_noise(call, operands), call, operands)


def _fused(call: Call, operands: Operands) -> jax.Array:
    """The whole formula in the kernel."""
    coefficients = [operands[name] for name in call.coefficients]
    precision = functools.reduce(jnp.promote_types, [c.dtype for c in coefficients])
    same = not call.has_x or operands["x"].dtype == call.dtype
    is_64_bit = (call.dtype == jnp.float64, precision == jnp.float64)
    direct = same and call.dtype in _ELEMENTS and is_64_bit[0] == is_64_bit[1]
    element = call.dtype if direct else precision
    own = {name: value for name, value in operands.items() if name != "x"}
    own |= {name: own[name].astype(precision) for name in call.coefficients}
    if call.has_x:
        own["x"] = operands["x"].astype(element)
    return call_kernel(call, own, call.kind.name, element).astype(call.dtype)


def _noise(call: Call, operands: Operands) -> jax.Array:
    """n, in the result's dtype if the kernel has that dtype and n itself is the result."""
    kind, own = call.kind, {k: v for k, v in operands.items() if k in (*WORDS, "threshold")}
    element = kind.dtype
    if element == jnp.float32 and not call.coefficients and call.dtype in _ELEMENTS:
        element = call.dtype
    if not kind.drops or call.is_number("threshold"):
        return call_kernel(call, own, kind.name, element)
    threshold = own.pop("threshold")
    mask = KINDS["keep"]
    kept = mask.map(call_kernel(call, own, "halves", KINDS["halves"].dtype), threshold)
    if kind.where_dropped is None:
        return kept
    n = call_kernel(call, own, kind.where_dropped, element)
    return jnp.where(kept, jnp.zeros((), n.dtype), n)
