"""The formula in plain jnp, element by element: the reference, and what XLA fuses with neighbours.

Each element names its block and picks its word. XLA on GPU unrolls loops by four and merges the
four evaluations of a block that four consecutive elements share.
"""

import math
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
from jax import lax

from flaxnoise.stream.noise import Kind, draw

Coefficients = Mapping[str, jax.Array]


def affine(
    operands: Mapping[str, jax.Array],
    *,
    kind: Kind,
    shape: tuple[int, ...],
    global_shape: tuple[int, ...] | None,
    dtype: jax.typing.DTypeLike,
) -> jax.Array:
    """y = x·(a + b·n) + (c + d·n), with n of ``shape``; affine.primitive names the operands."""
    # 64-bit integers for the generator's products; the dtypes of everything else are explicit.
    with jax.enable_x64(True):
        n = noise(operands, kind=kind, shape=shape, global_shape=global_shape)
        coefficients = {name: operands[name] for name in "abcd" if name in operands}
        if not coefficients:
            return n.astype(dtype)
        y = combine(n, operands.get("x"), coefficients, dtype)
        # Where no term needs n, y may lack the batch dimensions that only key or threshold has.
        return jnp.broadcast_to(y, jnp.broadcast_shapes(n.shape, y.shape))


def noise(
    operands: Mapping[str, jax.Array],
    *,
    kind: Kind,
    shape: tuple[int, ...],
    global_shape: tuple[int, ...] | None,
) -> jax.Array:
    """n of every element: bool for keep, uint32 for bits, else float32."""
    rank = len(shape)
    key = operands["key"]
    words = [key[..., i].reshape(key.shape[:-1] + (1,) * rank) for i in range(4)]
    low, high = linear_index(shape, global_shape or shape, operands.get("start"))
    return draw(kind, tuple(words), low, high, operands.get("threshold"))


def linear_index(
    shape: Sequence[int], global_shape: Sequence[int], start: jax.Array | None
) -> tuple[jax.Array, jax.Array | None]:
    """Row-major index in the global array, as (low, high) words; high is None if none needs it."""
    wide = not _is_below_2_32(global_shape)
    dtype = jnp.uint64 if wide else jnp.uint32
    index = jnp.zeros((1,) * len(shape), dtype)
    stride = 1
    for axis in reversed(range(len(shape))):
        if not (isinstance(shape[axis], int) and shape[axis] == 1):
            position = lax.broadcasted_iota(dtype, shape, axis)
            index = index + position * jnp.asarray(stride).astype(dtype)
        stride = stride * global_shape[axis]
    if start is not None:
        start = start.reshape(start.shape[:-1] + (1,) * len(shape) + (2,))
        offset = start[..., 0].astype(dtype)
        if wide:
            offset = offset | (start[..., 1].astype(dtype) << jnp.uint64(32))
        index = index + offset
    if not wide:
        return index, None
    return index.astype(jnp.uint32), (index >> jnp.uint64(32)).astype(jnp.uint32)


def combine(
    n: jax.Array, x: jax.Array | None, coefficients: Coefficients, dtype: jax.typing.DTypeLike
) -> jax.Array:
    """x·(a + b·n) + (c + d·n) in the coefficients' precision, rounded once to dtype."""
    a, b, c, d = (coefficients.get(name) for name in "abcd")
    if n.dtype == jnp.bool_:
        kept = _multiply_add(x, _add(a, b), _add(c, d), dtype)
        return _select(n, kept, _multiply_add(x, a, c, dtype))
    return _multiply_add(x, _add(a, _multiply(b, n)), _add(c, _multiply(d, n)), dtype)


def _multiply_add(
    x: jax.Array | None,
    factor: jax.Array | None,
    offset: jax.Array | None,
    dtype: jax.typing.DTypeLike,
) -> jax.Array:
    """x·factor + offset, both possibly absent.

    Where the factor is exactly 0, x takes no part, not even as inf or NaN; where the offset is
    exactly 0, nothing is added, so that the sign of a zero survives. Where the factor is 1 as well,
    the result is x bit for bit: arithmetic would flush subnormals and rewrite NaNs.
    """
    if x is None or factor is None:
        return jnp.zeros((), dtype) if offset is None else offset.astype(dtype)
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        part = jnp.finfo(x.dtype).dtype
        real, imag = (_multiply_add(v, factor, None, part) for v in (jnp.real(x), jnp.imag(x)))
        return lax.complex(real, imag)
    product = x.astype(factor.dtype) * factor
    product = jnp.where(factor == 0, jnp.zeros((), factor.dtype), product)
    same = factor == 1
    if offset is not None:
        product = jnp.where(offset == 0, product, product + offset)
        same &= offset == 0
    product = product.astype(dtype)
    return _select(same, x, product) if x.dtype == dtype else product


def _select(condition: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    """x where the condition holds, else y; as integers: XLA on CPU takes bfloat16 via float32."""
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


def _is_below_2_32(shape: Sequence[int]) -> bool:
    try:
        return math.prod(shape) <= 1 << 32
    except jax.errors.InconclusiveDimensionOperation:
        return False
