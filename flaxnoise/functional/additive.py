"""Uniform noise (added or multiplied), Laplace noise, salt-and-pepper noise."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from flaxnoise import arguments
from flaxnoise.affine import FLAT, Location, here, reduced
from flaxnoise.functional.certain import same_for_every_key
from flaxnoise.functional.formula import (
    apply,
    bernoulli,
    explicit_sharding,
    finite,
    precision,
)


@same_for_every_key(scale=(0,))
def uniform_noise(
    key: jax.Array,
    x: jax.Array,
    scale: jax.typing.ArrayLike,
    *,
    broadcast_dims: int | Sequence[int] = (),
) -> jax.Array:
    """Adds uniform noise: y = x + scale·n, n ~ U(−1, 1), both ends excluded.

    Its standard deviation is scale/√3. With scale = ½ it models the rounding of x in learned
    compression (Ballé et al., "End-to-end optimized image compression", ICLR 2017).

    Args:
        key: a jax.random key, typed or raw; under vmap, a batch of them.
        x: floating array of any shape.
        scale: half the width of the interval, in units of x, finite and ≥ 0; a number, or an array
            that broadcasts to x. May be traced or learned, and has a gradient. A value that is
            traced or on an accelerator is not checked: elements that are not finite count as 0.
        broadcast_dims: dimensions along which the noise is shared.

    Returns:
        An array of x's shape and dtype.

    Raises:
        TypeError: key is not a key, x is not floating, scale is not real, broadcast_dims are not
            integers.
        ValueError: scale negative, not finite or not broadcastable to x, a batch of keys,
            broadcast_dims out of range or repeated.

    Example:
        >>> y = flaxnoise.uniform_noise(key, x, scale=0.5)
        >>> bool((abs(y - x) < 0.5).all())
        True
    """
    return _scaled("uniform_noise", "uniform", key, x, scale, broadcast_dims, "d")


@same_for_every_key(scale=(0,))
def multiplicative_uniform(
    key: jax.Array,
    x: jax.Array,
    scale: jax.typing.ArrayLike,
    *,
    broadcast_dims: int | Sequence[int] = (),
) -> jax.Array:
    """Multiplies by uniform noise (speckle): y = x·(1 + scale·n), n ~ U(−1, 1).

    The mean of y is x. The noise n is the same as that of ``uniform_noise`` with the same key.

    Args:
        key: a jax.random key, typed or raw; under vmap, a batch of them.
        x: floating or complex array of any shape.
        scale: relative half-width, as in ``uniform_noise``; above 1, signs may change.
        broadcast_dims: dimensions along which the noise is shared.

    Returns:
        An array of x's shape and dtype.

    Raises:
        TypeError: key is not a key, x is not floating or complex, scale is not real, broadcast_dims
            are not integers.
        ValueError: scale negative, not finite or not broadcastable to x, a batch of keys,
            broadcast_dims out of range or repeated.

    Example:
        >>> y = flaxnoise.multiplicative_uniform(key, x, scale=0.1)
    """
    return _scaled("multiplicative_uniform", "uniform", key, x, scale, broadcast_dims, "b")


@same_for_every_key(scale=(0,))
def laplace_noise(
    key: jax.Array,
    x: jax.Array,
    scale: jax.typing.ArrayLike,
    *,
    broadcast_dims: int | Sequence[int] = (),
) -> jax.Array:
    """Adds Laplace noise: y = x + scale·n, n of density exp(−|n|)/2.

    Its standard deviation is √2·scale. Used to train for robustness to heavy tails. Not suitable
    for differential privacy: like every floating-point sampler, it leaks information about x in the
    lowest bits of y (Mironov, "On significance of the least significant bits for differential
    privacy", CCS 2012).

    Args:
        key: a jax.random key, typed or raw; under vmap, a batch of them.
        x: floating array of any shape.
        scale: mean of |y − x|, in units of x; otherwise as in ``uniform_noise``.
        broadcast_dims: dimensions along which the noise is shared.

    Returns:
        An array of x's shape and dtype.

    Raises:
        TypeError: key is not a key, x is not floating, scale is not real, broadcast_dims are not
            integers.
        ValueError: scale negative, not finite or not broadcastable to x, a batch of keys,
            broadcast_dims out of range or repeated.

    Example:
        >>> y = flaxnoise.laplace_noise(key, x, scale=0.1)
    """
    return _scaled("laplace_noise", "laplace", key, x, scale, broadcast_dims, "d")


@same_for_every_key(rate=(0,))
def salt_and_pepper_noise(
    key: jax.Array,
    x: jax.Array,
    rate: jax.typing.ArrayLike,
    low: jax.typing.ArrayLike = 0.0,
    high: jax.typing.ArrayLike = 1.0,
    *,
    broadcast_dims: int | Sequence[int] = (),
) -> jax.Array:
    """Replaces a share of the elements, half of them by low and half by high.

    The replaced elements are those that ``dropout`` drops with the same key and rate. Those that it
    would also drop at half the rate become low, the others high. The remaining elements are not
    scaled. Rate 0 gives x.

    Args:
        key: a jax.random key, typed or raw; under vmap, a batch of them.
        x: floating array of any shape.
        rate: share of the elements replaced, in [0, 1], as in ``dropout``. Has no gradient.
        low: value of the pepper: finite; a number, or an array that broadcasts to x. May be traced
            or learned, and has a gradient. A value that is traced or on an accelerator is not
            checked: elements that are not finite count as 0.
        high: value of the salt; otherwise as ``low``.
        broadcast_dims: dimensions along which the mask is shared.

    Returns:
        An array of x's shape and dtype.

    Raises:
        TypeError: key is not a key, x is not floating, rate, low or high is not real,
            broadcast_dims are not integers.
        ValueError: rate outside [0, 1], low or high not finite, one of them not broadcastable to x,
            a batch of keys, broadcast_dims out of range or repeated.

    Example:
        >>> y = flaxnoise.salt_and_pepper_noise(key, x, rate=0.1, low=-1.0, high=1.0)
    """
    owner = "salt_and_pepper_noise"
    x = arguments.inexact(owner, x, complex_too=False)
    arguments.rate(owner, rate, x.shape)
    low = arguments.finite(owner, "low", low, x.shape, x.dtype)
    high = arguments.finite(owner, "high", high, x.shape, x.dtype)
    dims = arguments.dimensions(owner, broadcast_dims, x.ndim)
    key = arguments.single_key(owner, key)
    return x if arguments.is_zero(rate) else _salt_and_pepper(key, x, rate, low, high, dims)


def _scaled(
    owner: str,
    kind: str,
    key: jax.Array,
    x: jax.Array,
    scale: jax.typing.ArrayLike,
    broadcast_dims: int | Sequence[int],
    coefficient: str,
) -> jax.Array:
    x = arguments.inexact(owner, x, complex_too=coefficient == "b")
    scale = arguments.nonnegative(owner, "scale", scale, x.shape, x.dtype)
    dims = arguments.dimensions(owner, broadcast_dims, x.ndim)
    key = arguments.single_key(owner, key)
    return x if arguments.is_zero(scale) else _apply(key, x, scale, kind, dims, coefficient)


@functools.partial(jax.jit, static_argnames=("kind", "dims", "coefficient"), inline=FLAT)
def _apply(
    key: jax.Array,
    x: jax.Array,
    scale: jax.Array,
    kind: str,
    dims: tuple[int, ...],
    coefficient: str,
) -> jax.Array:
    slope: dict[str, Any] = {coefficient: finite(scale, precision(x))}
    return apply(kind, key, x, dims, a=1.0, **slope)


@functools.partial(jax.jit, static_argnames="dims", inline=FLAT)
def _salt_and_pepper(
    key: jax.Array,
    x: jax.Array,
    rate: jax.Array,
    low: jax.Array,
    high: jax.Array,
    dims: tuple[int, ...],
) -> jax.Array:
    # Both masks compare the same random numbers: what half the rate drops, the full rate drops too.
    full, _ = bernoulli(rate, dtype=precision(x))
    half, _ = bernoulli(jnp.where(rate < 1, rate, 1) / 2, dtype=precision(x))
    high, low = (finite(value, precision(x)) for value in (high, low))
    location = here(reduced(x, dims), dims)
    drawn, location = (arguments.key_words(key), location.start), location._replace(start=None)
    salted = _replaced(drawn, x, full, high, dims, location)
    return _replaced(drawn, salted, half, low, dims, location)


@functools.partial(jax.custom_jvp, nondiff_argnums=(4, 5))
def _replaced(
    drawn: Any,
    x: jax.Array,
    drop: jax.Array,
    value: jax.Array,
    dims: tuple[int, ...],
    location: Location,
) -> jax.Array:
    """x where kept, value where dropped."""
    words, start = drawn
    location = location._replace(start=start)
    return apply(
        "keep", words, x, dims, location=location, threshold=drop, b=1.0, c=value, d=-value
    )


def _replaced_jvp(
    dims: tuple[int, ...], location: Location, primals: Any, tangents: Any
) -> tuple[Any, Any]:
    # Differentiated through c and d, the gradient of value would be a difference of two sums.
    (drawn, x, drop, value), (_, dx, _, dvalue) = primals, tangents
    words, start = drawn
    located = location._replace(start=start)

    def draw(v: jax.Array, **coefficients: float) -> jax.Array:
        return apply("keep", words, v, dims, location=located, threshold=drop, **coefficients)

    parts = []
    if not isinstance(dx, SymbolicZero):
        parts.append(draw(dx, b=1.0))
    if not isinstance(dvalue, SymbolicZero):
        # Cast only now, so that the gradient of value is summed in the precision of value.
        everywhere = jnp.broadcast_to(dvalue, x.shape, out_sharding=explicit_sharding(x))
        parts.append(draw(everywhere, a=1.0, b=-1.0).astype(x.dtype))
    dy = functools.reduce(jnp.add, parts) if parts else jnp.zeros_like(x)
    return _replaced(drawn, x, drop, value, dims, location), dy


_replaced.defjvp(_replaced_jvp, symbolic_zeros=True)
