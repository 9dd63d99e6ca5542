"""Uniform noise, added or multiplied, and Laplace noise."""

import functools
from collections.abc import Sequence

import jax

from flaxnoise import arguments
from flaxnoise.affine.inlining import FLAT
from flaxnoise.functional.formula import apply, finite, precision
from flaxnoise.stream.noise import Kind


def uniform_noise(
    key: jax.Array,
    x: jax.Array,
    scale: jax.typing.ArrayLike,
    *,
    broadcast_dims: int | Sequence[int] = (),
) -> jax.Array:
    """Adds uniform noise: y = x + scale·n, n ~ U(−1, 1), both ends excluded.

    Its standard deviation is scale/√3. With scale = ½ it stands for the rounding of x in learned
    compression (Ballé et al., "End-to-end optimized image compression", ICLR 2017).

    Args:
        key: a jax.random key, typed or raw; under vmap, a batch of them.
        x: floating array of any shape.
        scale: half the width of the interval, in units of x, finite and ≥ 0; a number, or an array
            that broadcasts to x. May be traced or learned: it has a true gradient. A traced one is
            not checked: where it is not finite it counts as 0.
        broadcast_dims: dimensions along which the noise is shared.

    Returns:
        An array of x's shape and dtype.

    Raises:
        TypeError: key is no key, x is not floating, scale is not real, broadcast_dims are not
            integers.
        ValueError: scale negative, not finite or not broadcastable to x, a batch of keys,
            broadcast_dims out of range or repeated.

    Example:
        >>> y = flaxnoise.uniform_noise(key, x, scale=0.5)
        >>> bool((abs(y - x) < 0.5).all())
        True
    """
    return _scaled("uniform_noise", "uniform", key, x, scale, broadcast_dims, "d")


def multiplicative_uniform(
    key: jax.Array,
    x: jax.Array,
    scale: jax.typing.ArrayLike,
    *,
    broadcast_dims: int | Sequence[int] = (),
) -> jax.Array:
    """Multiplies by uniform noise (speckle): y = x·(1 + scale·n), n ~ U(−1, 1).

    The mean of y is x. n is that of ``uniform_noise`` with the same key.

    Args:
        key: a jax.random key, typed or raw; under vmap, a batch of them.
        x: floating or complex array of any shape.
        scale: relative half-width, as in ``uniform_noise``; above 1 some signs change.
        broadcast_dims: dimensions along which the noise is shared.

    Returns:
        An array of x's shape and dtype.

    Raises:
        TypeError: key is no key, x is not floating or complex, scale is not real, broadcast_dims
            are not integers.
        ValueError: scale negative, not finite or not broadcastable to x, a batch of keys,
            broadcast_dims out of range or repeated.

    Example:
        >>> y = flaxnoise.multiplicative_uniform(key, x, scale=0.1)
    """
    return _scaled("multiplicative_uniform", "uniform", key, x, scale, broadcast_dims, "b")


def laplace_noise(
    key: jax.Array,
    x: jax.Array,
    scale: jax.typing.ArrayLike,
    *,
    broadcast_dims: int | Sequence[int] = (),
) -> jax.Array:
    """Adds Laplace noise: y = x + scale·n, n of density exp(−|n|)/2.

    Its standard deviation is √2·scale. For robustness to heavy tails. It is no mechanism of
    differential privacy: as every sampler in floating point, it leaves traces of x in the lowest
    bits of y (Mironov, "On significance of the least significant bits for differential privacy",
    CCS 2012).

    Args:
        key: a jax.random key, typed or raw; under vmap, a batch of them.
        x: floating array of any shape.
        scale: mean of the noise's magnitude in units of x, as in ``uniform_noise``.
        broadcast_dims: dimensions along which the noise is shared.

    Returns:
        An array of x's shape and dtype.

    Raises:
        TypeError: key is no key, x is not floating, scale is not real, broadcast_dims are not
            integers.
        ValueError: scale negative, not finite or not broadcastable to x, a batch of keys,
            broadcast_dims out of range or repeated.

    Example:
        >>> y = flaxnoise.laplace_noise(key, x, scale=0.1)
    """
    return _scaled("laplace_noise", "laplace", key, x, scale, broadcast_dims, "d")


def _scaled(
    owner: str,
    kind: Kind,
    key: jax.Array,
    x: jax.Array,
    scale: jax.typing.ArrayLike,
    broadcast_dims: int | Sequence[int],
    coefficient: str,
) -> jax.Array:
    x = arguments.inexact(owner, x, complex_too=coefficient == "b")
    arguments.nonnegative(owner, "scale", scale, x.shape)
    dims = arguments.dimensions(owner, broadcast_dims, x.ndim)
    key = arguments.single_key(owner, key)
    return x if arguments.is_zero(scale) else _apply(key, x, scale, kind, dims, coefficient)


@functools.partial(jax.jit, static_argnames=("kind", "dims", "coefficient"), inline=FLAT)
def _apply(
    key: jax.Array,
    x: jax.Array,
    scale: jax.Array,
    kind: Kind,
    dims: tuple[int, ...],
    coefficient: str,
) -> jax.Array:
    return apply(kind, key, x, dims, a=1.0, **{coefficient: finite(scale, precision(x))})
