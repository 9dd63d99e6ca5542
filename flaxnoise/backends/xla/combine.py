"""x·(a + b·n) + (c + d·n) from n in jnp, for the xla backend and for kernels that only draw n."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from flaxnoise.backends.contract import COEFFICIENTS, Call, Operands

Coefficients = Mapping[str, jax.Array]


def apply_to_noise(n: jax.Array, call: Call, operands: Operands) -> jax.Array:
    """The result of a call, given its noise."""
    coefficients = {name: operands[name] for name in COEFFICIENTS if name in operands}
    if not coefficients:
        return n.astype(call.dtype)
    return combine(n, operands.get("x"), coefficients, call.dtype, zeros=call.kind.may_be_0)


def combine(
    n: jax.Array,
    x: jax.Array | None,
    coefficients: Coefficients,
    dtype: jax.typing.DTypeLike,
    zeros: bool = True,
) -> jax.Array:
    """x·(a + b·n) + (c + d·n) in the coefficients' precision, rounded once to dtype.

    ``zeros`` says whether a numeric n may be 0. If not, whether a term is exactly 0 or 1 follows
    from the coefficients, and n is used only once. XLA on GPU may compute an n with several uses in
    a kernel of its own.
    """
    a, b, c, d = (coefficients.get(name) for name in "abcd")
    if n.dtype == jnp.bool_:
        kept = _multiply_add(x, _Term.of(_add(a, b)), _Term.of(_add(c, d)), dtype)
        return _select(n, kept, _multiply_add(x, _Term.of(a), _Term.of(c), dtype))
    factor, offset = _add(a, _multiply(b, n)), _add(c, _multiply(d, n))
    if zeros:
        return _multiply_add(x, _Term.of(factor), _Term.of(offset), dtype)
    return _multiply_add(x, _Term.sum(factor, a, b), _Term.sum(offset, c, d), dtype)


class _Term(NamedTuple):
    """A factor or an offset, and where it counts as exactly 0 and as exactly 1."""

    value: jax.Array
    is_0: jax.Array
    is_1: jax.Array

    @staticmethod
    def of(value: jax.Array | None) -> "_Term | None":
        return None if value is None else _Term(value, value == 0, value == 1)

    @staticmethod
    def sum(
        value: jax.Array | None, constant: jax.Array | None, slope: jax.Array | None
    ) -> "_Term | None":
        """The term of value = constant + slope·n, for an n that is never 0."""
        if value is None or slope is None:
            return _Term.of(value)
        if constant is None:
            return _Term(value, slope == 0, jnp.zeros_like(slope, jnp.bool_))
        return _Term(value, (constant == 0) & (slope == 0), (constant == 1) & (slope == 0))


def _multiply_add(
    x: jax.Array | None, factor: _Term | None, offset: _Term | None, dtype: jax.typing.DTypeLike
) -> jax.Array:
    """x·factor + offset; either may be absent.

    Where the factor is exactly 0, the product is 0 even if x is inf or NaN. Where the offset is
    exactly 0, nothing is added, which preserves the sign of zeros. Where in addition the factor is
    1, the result is x bit for bit, since arithmetic may flush subnormals and change NaN payloads.
    """
    if x is None or factor is None:
        return jnp.zeros((), dtype) if offset is None else offset.value.astype(dtype)
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        part = jnp.finfo(x.dtype).dtype
        real, imag = (_multiply_add(v, factor, None, part) for v in (jnp.real(x), jnp.imag(x)))
        return lax.complex(real, imag)
    product = x.astype(factor.value.dtype) * factor.value
    product = jnp.where(factor.is_0, jnp.zeros((), product.dtype), product)
    same = factor.is_1
    if offset is not None:
        product = jnp.where(offset.is_0, product, product + offset.value)
        same &= offset.is_0
    product = product.astype(dtype)
    return _select(same, x, product) if x.dtype == dtype else product


def _select(condition: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    """x where the condition holds, else y, selected as integers.

    XLA on CPU would convert bfloat16 to float32 and back.
    """
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        return jnp.where(condition, x, y)
    word = jnp.dtype(f"uint{jnp.finfo(x.dtype).bits}")
    bits = (lax.bitcast_convert_type(value, word) for value in (x, y))
    return lax.bitcast_convert_type(jnp.where(condition, *bits), x.dtype)


def _add(constant: jax.Array | None, term: jax.Array | None) -> jax.Array | None:
    if constant is None or term is None:
        return term if constant is None else constant
    return constant + term


def _multiply(slope: jax.Array | None, n: jax.Array) -> jax.Array | None:
    return None if slope is None else slope * n.astype(slope.dtype)
