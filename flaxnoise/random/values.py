"""Draws from the stream: words, masks, normals, uniforms and Laplace noise of a shape."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flaxnoise import affine, arguments
from flaxnoise.affine import FLAT


def bits(key: jax.Array, shape: int | Sequence[int] = ()) -> jax.Array:
    """Draws random words: 32 independent bits per element, by Philox4x32-10.

    Args:
        key: a jax.random key, typed or raw; under vmap, a batch of them.
        shape: shape of the result.

    Returns:
        A uint32 array.

    Raises:
        TypeError: key is not a key, shape is not made of integers.
        ValueError: a batch of keys, a negative size.

    Example:
        >>> words = flaxnoise.random.bits(key, (2, 3))
    """
    return _draw("bits", "bits", key, shape, jnp.uint32)


def keep_mask(key: jax.Array, shape: int | Sequence[int], rate: jax.typing.ArrayLike) -> jax.Array:
    """Draws the mask of ``dropout``: True where an element is kept.

    Args:
        key: a jax.random key, typed or raw; under vmap, a batch of them.
        shape: shape of the result.
        rate: share of the elements dropped, in [0, 1]; a number, or an array that broadcasts to
            shape. May be traced; then it is not checked, and values below 0 count as 0, values
            above 1 and NaN as 1.

    Returns:
        A bool array.

    Raises:
        TypeError: key is not a key, shape is not made of integers, rate is not real.
        ValueError: rate outside [0, 1] or not broadcastable, a batch of keys, a negative size.

    Example:
        >>> mask = flaxnoise.random.keep_mask(key, (2, 3), rate=0.5)
    """
    shape = _shape("keep_mask", shape)
    arguments.rate("keep_mask", rate, shape)
    return _draw("keep_mask", "keep", key, shape, jnp.bool_, rate)


def normal(
    key: jax.Array, shape: int | Sequence[int] = (), dtype: jax.typing.DTypeLike = jnp.float32
) -> jax.Array:
    """Draws normals: n ~ N(0, 1), the noise of ``gaussian_noise`` and ``gaussian_dropout``.

    Computed in float32 by the Box-Muller transform and rounded once to dtype, so that the noise is
    the same in every dtype. Before that rounding n is never 0, and |n| ≤ 6.67.

    Args:
        key: a jax.random key, typed or raw; under vmap, a batch of them.
        shape: shape of the result.
        dtype: a floating dtype.

    Returns:
        An array of that dtype.

    Raises:
        TypeError: key is not a key, shape is not made of integers, dtype is not floating.
        ValueError: a batch of keys, a negative size.

    Example:
        >>> n = flaxnoise.random.normal(key, (2, 3))
    """
    return _draw("normal", "normal", key, shape, _floating("normal", dtype))


def uniform(
    key: jax.Array, shape: int | Sequence[int] = (), dtype: jax.typing.DTypeLike = jnp.float32
) -> jax.Array:
    """Draws uniforms on the open interval (0, 1): u = (k + ½)·2^-23, k of 23 bits.

    u is never 0, and never 1 before it is rounded to a dtype of fewer bits.

    Args:
        key: a jax.random key, typed or raw; under vmap, a batch of them.
        shape: shape of the result.
        dtype: a floating dtype.

    Returns:
        An array of that dtype.

    Raises:
        TypeError: key is not a key, shape is not made of integers, dtype is not floating.
        ValueError: a batch of keys, a negative size.

    Example:
        >>> u = flaxnoise.random.uniform(key, (2, 3))
    """
    return _draw("uniform", "unit_uniform", key, shape, _floating("uniform", dtype))


def signed_uniform(
    key: jax.Array, shape: int | Sequence[int] = (), dtype: jax.typing.DTypeLike = jnp.float32
) -> jax.Array:
    """Draws uniforms on the open interval (−1, 1): n = (k + ½)·2^-23, k signed, of 24 bits.

    The noise of ``uniform_noise`` and ``multiplicative_uniform``. n is never 0.

    Args:
        key: a jax.random key, typed or raw; under vmap, a batch of them.
        shape: shape of the result.
        dtype: a floating dtype.

    Returns:
        An array of that dtype.

    Raises:
        TypeError: key is not a key, shape is not made of integers, dtype is not floating.
        ValueError: a batch of keys, a negative size.

    Example:
        >>> n = flaxnoise.random.signed_uniform(key, (2, 3))
    """
    return _draw("signed_uniform", "uniform", key, shape, _floating("signed_uniform", dtype))


def laplace(
    key: jax.Array, shape: int | Sequence[int] = (), dtype: jax.typing.DTypeLike = jnp.float32
) -> jax.Array:
    """Draws Laplace noise of density exp(−|n|)/2, the noise of ``laplace_noise``.

    n = ∓ln u with u of 31 bits, computed in float32 and rounded once to dtype. Before that rounding
    n is never 0, and |n| ≤ 22.2.

    Args:
        key: a jax.random key, typed or raw; under vmap, a batch of them.
        shape: shape of the result.
        dtype: a floating dtype.

    Returns:
        An array of that dtype.

    Raises:
        TypeError: key is not a key, shape is not made of integers, dtype is not floating.
        ValueError: a batch of keys, a negative size.

    Example:
        >>> n = flaxnoise.random.laplace(key, (2, 3))
    """
    return _draw("laplace", "laplace", key, shape, _floating("laplace", dtype))


def realised_rate(rate: jax.typing.ArrayLike) -> jax.Array:
    """Computes the share of elements that a rate actually drops: T/2^31 = 1 − P(keep).

    For rates from 3e-8 to 1 − 4e-6 it is within 1/128 of the rate (rounded to float32), relative to
    min(rate, 1 − rate). Smaller rates have steps of 2^-31, larger ones those of float32 below 1. It
    is exact at 0 and 1.

    Args:
        rate: in [0, 1], of any shape. May be traced; then it is not checked.

    Returns:
        A float32 array of rate's shape.

    Raises:
        TypeError: rate is not real.
        ValueError: rate outside [0, 1].

    Example:
        >>> float(flaxnoise.random.realised_rate(0.5))
        0.5
    """
    arguments.rate("realised_rate", rate, None)
    return affine.realised_rate(affine.threshold(rate))


def _draw(
    owner: str,
    kind: str,
    key: Any,
    shape: int | Sequence[int],
    dtype: jax.typing.DTypeLike,
    rate: Any = None,
) -> jax.Array:
    key = arguments.single_key(owner, key)
    return _values(key, rate, kind, _shape(owner, shape), jnp.dtype(dtype))


@functools.partial(jax.jit, static_argnums=(2, 3, 4), inline=FLAT)
def _values(
    key: jax.Array, rate: Any, kind: str, shape: tuple[int, ...], dtype: jnp.dtype
) -> jax.Array:
    drop = None if rate is None else affine.threshold(rate)
    return affine.draw(kind, key, shape, dtype, threshold=drop)


def _shape(owner: str, shape: int | Sequence[int]) -> tuple[Any, ...]:
    is_scalar = isinstance(shape, str | bytes | Mapping) or np.ndim(shape) == 0
    given: tuple[Any, ...] = (
        (shape,) if is_scalar or not isinstance(shape, Iterable) else tuple(shape)
    )
    try:
        if any(isinstance(size, bool) for size in given):
            raise TypeError
        sizes = affine.static_sizes(given)
    except (TypeError, AttributeError):
        text = f"{owner}: shape must be made of integers, got {arguments.short(shape)}."
        raise TypeError(text) from None
    if not all(0 <= size < 1 << 63 for size in sizes if isinstance(size, int)):
        text = f"{owner}: shape must be made of sizes ≥ 0, got {arguments.short(shape)}."
        raise ValueError(text)
    return sizes


def _floating(owner: str, dtype: jax.typing.DTypeLike) -> jnp.dtype:
    try:
        known = jax.dtypes.canonicalize_dtype(dtype)
    except (TypeError, ValueError):
        known = None
    if known is None or not jnp.issubdtype(known, jnp.floating):
        shown = arguments.short(dtype) if known is None else known
        raise TypeError(f"{owner}: dtype must be floating, got {shown}.")
    if known != jnp.dtype(dtype):
        jnp.zeros((), dtype)  # warns, as jax does wherever 64 bits are not enabled
    return known
