"""The formula in plain jnp, element by element: the reference, and what XLA fuses with neighbours.

Each element names its block and picks its word. XLA on GPU unrolls loops by four and merges the
four evaluations of a block that four consecutive elements share.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from flaxnoise.backends.linear_index import (
    flat_size,
    index_in_example,
    is_cut_along_first,
    linear_index,
)
from flaxnoise.stream.kinds import KINDS
from flaxnoise.stream.noise import draw
from flaxnoise.stream.sizes import are_known, needs_64_bits

Coefficients = Mapping[str, jax.Array]


def affine(
    operands: Mapping[str, jax.Array],
    *,
    kind: str,
    shape: tuple[int, ...],
    global_shape: tuple[int, ...] | None,
    dtype: jax.typing.DTypeLike,
    wide: bool = False,
    flat: bool = False,
) -> jax.Array:
    """y = x·(a + b·n) + (c + d·n), with n of ``shape``; affine.primitive names the operands.

    ``wide``: indices may exceed 32 bits though the global shape does not. ``flat``: n is drawn as
    an array of one dimension, where no dimension is sharded but the first.
    """
    # 64-bit integers for the generator's products; the dtypes of everything else are explicit.
    with jax.enable_x64(True):
        box = {"shape": shape, "global_shape": global_shape, "wide": wide}
        n = noise(operands, kind=kind, **box, flat=flat)
        coefficients = {name: operands[name] for name in "abcd" if name in operands}
        if not coefficients:
            return n.astype(dtype)
        y = combine(n, operands.get("x"), coefficients, dtype, zeros=KINDS[kind].may_be_0)
        # Where no term needs n, y may lack the batch dimensions that only key or threshold has.
        return jnp.broadcast_to(y, jnp.broadcast_shapes(n.shape, y.shape))


def noise(
    operands: Mapping[str, jax.Array],
    *,
    kind: str,
    shape: tuple[int, ...],
    global_shape: tuple[int, ...] | None,
    wide: bool = False,
    flat: bool = False,
) -> jax.Array:
    """n of every element: bool for keep, uint32 for bits, else float32."""
    key, threshold = operands["key"], operands.get("threshold")
    batch = key.shape[:-1]
    dims = shape
    wide = wide or needs_64_bits(global_shape or shape)
    if (
        flat
        and is_cut_along_first(shape, global_shape or shape)
        and is_one_number(threshold, len(batch))
    ):
        dims = (math.prod(shape),)
        if threshold is not None:
            threshold = threshold.reshape((*threshold.shape[: len(batch)], 1))
        global_shape = (flat_size(shape, global_shape or shape, "start" in operands),)
    k0, k1, k2, k3 = (key[..., i].reshape(batch + (1,) * len(dims)) for i in range(4))
    if flat and _are_whole_examples(operands, dims):
        low, high = index_in_example(batch, dims[0]), jnp.uint32(0)
    else:
        low, high = linear_index(dims, global_shape or shape, operands.get("start"), wide)
    n = draw(KINDS[kind], (k0, k1, k2, k3), low, high, threshold)
    return n if dims is shape else n.reshape(n.shape[: len(batch)] + shape)


def _are_whole_examples(operands: Mapping[str, jax.Array], dims: Sequence[int]) -> bool:
    """Whether there are several, of one dimension, and the index in the batch is below 2^32."""
    sizes = (*operands["key"].shape[:-1], *dims)
    if len(dims) != 1 or "start" in operands or not are_known(sizes):
        return False
    return math.prod(sizes[:-1]) > 1 and math.prod(sizes) <= 1 << 32


def is_one_number(value: jax.Array | None, batch_rank: int) -> bool:
    """Whether an operand is one number for each example."""
    return value is None or set(value.shape[batch_rank:]) <= {1}


def combine(
    n: jax.Array,
    x: jax.Array | None,
    coefficients: Coefficients,
    dtype: jax.typing.DTypeLike,
    zeros: bool = True,
) -> jax.Array:
    """x·(a + b·n) + (c + d·n) in the coefficients' precision, rounded once to dtype.

    ``zeros`` says whether an n that is a number may be 0. If not, the coefficients tell what is
    exactly 0 or 1, and n is used but once: else XLA on GPU may compute it in a kernel of its own.
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
    """A factor or an offset, and where it is to count as exactly 0 and as exactly 1."""

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
        """Of value = constant + slope·n, with an n that is never 0."""
        if value is None or slope is None:
            return _Term.of(value)
        if constant is None:
            return _Term(value, slope == 0, jnp.zeros_like(slope, jnp.bool_))
        return _Term(value, (constant == 0) & (slope == 0), (constant == 1) & (slope == 0))


def _multiply_add(
    x: jax.Array | None, factor: _Term | None, offset: _Term | None, dtype: jax.typing.DTypeLike
) -> jax.Array:
    """x·factor + offset, both possibly absent.

    Where the factor is exactly 0, x takes no part, not even as inf or NaN; where the offset is
    exactly 0, nothing is added, so that the sign of a zero survives. Where the factor is 1 as well,
    the result is x bit for bit: arithmetic would flush subnormals and rewrite NaNs.
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
