"""Multiplicative and additive normal noise."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from flaxnoise import arguments
from flaxnoise.affine import FLAT
from flaxnoise.functional.certain import same_for_every_key
from flaxnoise.functional.formula import apply, bernoulli, finite, precision


@same_for_every_key(rate=(0,))
def gaussian_dropout(
    key: jax.Array,
    x: jax.Array,
    rate: jax.typing.ArrayLike,
    *,
    broadcast_dims: int | Sequence[int] = (),
) -> jax.Array:
    """Multiplies by normal noise: y = x·(1 + s·n), n ~ N(0, 1), s = √(rate/(1 − rate)).

    The result has the mean and variance of dropout at the same rate, but no element is zeroed. Rate
    0 gives x.

    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR
    2014, section 10. Equivalent to Keras' GaussianDropout.

    Args:
        key: a jax.random key, typed or raw; under vmap, a batch of them.
        x: floating or complex array of any shape.
        rate: in [0, 1); a number, or an array that broadcasts to x. May be traced or learned, and
            has a gradient (0 at rate 0, where the true one is infinite). A rate that is traced or
            on an accelerator is not checked: values below 0 and NaN count as 0, values above
            1 − 2^-24 as 1 − 2^-24, where s is 4096.
        broadcast_dims: dimensions along which the noise is shared.

    Returns:
        An array of x's shape and dtype.

    Raises:
        TypeError: key is not a key, x is not floating or complex, rate is not real, broadcast_dims
            are not integers.
        ValueError: rate outside [0, 1) or not broadcastable to x, a batch of keys, broadcast_dims
            out of range or repeated.

    Example:
        >>> y = flaxnoise.gaussian_dropout(key, x, 0.5)
    """
    x = arguments.inexact("gaussian_dropout", x, complex_too=True)
    arguments.rate("gaussian_dropout", rate, x.shape, below_one=True)
    dims = arguments.dimensions("gaussian_dropout", broadcast_dims, x.ndim)
    key = arguments.single_key("gaussian_dropout", key)
    return x if arguments.is_zero(rate) else _gaussian_dropout(key, x, rate, dims)


@same_for_every_key(stddev=(0,))
def gaussian_noise(
    key: jax.Array,
    x: jax.Array,
    stddev: jax.typing.ArrayLike,
    *,
    broadcast_dims: int | Sequence[int] = (),
) -> jax.Array:
    """Adds normal noise: y = x + stddev·n, n ~ N(0, 1).

    Args:
        key: a jax.random key, typed or raw; under vmap, a batch of them.
        x: floating array of any shape.
        stddev: standard deviation in units of x, finite and ≥ 0; a number, or an array that
            broadcasts to x. May be traced or learned, and has a gradient. A value that is traced or
            on an accelerator is not checked: elements that are not finite count as 0.
        broadcast_dims: dimensions along which the noise is shared.

    Returns:
        An array of x's shape and dtype.

    Raises:
        TypeError: key is not a key, x is not floating (complex noise is not offered), stddev is not
            real, broadcast_dims are not integers.
        ValueError: stddev negative, not finite or not broadcastable to x, a batch of keys,
            broadcast_dims out of range or repeated.

    Example:
        >>> y = flaxnoise.gaussian_noise(key, x, stddev=0.1)
    """
    x = arguments.inexact("gaussian_noise", x, complex_too=False)
    stddev = arguments.nonnegative("gaussian_noise", "stddev", stddev, x.shape, x.dtype)
    dims = arguments.dimensions("gaussian_noise", broadcast_dims, x.ndim)
    key = arguments.single_key("gaussian_noise", key)
    return x if arguments.is_zero(stddev) else _gaussian_noise(key, x, stddev, dims)


@same_for_every_key(rate=(0,), stddev=(0,))
def masked_gaussian_noise(
    key: jax.Array,
    x: jax.Array,
    rate: jax.typing.ArrayLike,
    stddev: jax.typing.ArrayLike,
    *,
    broadcast_dims: int | Sequence[int] = (),
) -> jax.Array:
    """Adds normal noise to a share of the elements: y = x + stddev·n where dropped, else x itself.

    Noise goes to the elements that ``dropout`` drops with the same key and rate. It is the noise
    of ``gaussian_noise`` with the same key.

    Args:
        key: a jax.random key, typed or raw; under vmap, a batch of them.
        x: floating array of any shape.
        rate: share of the elements that get noise, in [0, 1], as in ``dropout``; has no gradient.
        stddev: standard deviation of the noise in units of x, as in ``gaussian_noise``.
        broadcast_dims: dimensions along which mask and noise are shared.

    Returns:
        An array of x's shape and dtype.

    Raises:
        TypeError: key is not a key, x is not floating (complex noise is not offered), rate or
            stddev is not real, broadcast_dims are not integers.
        ValueError: rate outside [0, 1], stddev negative or not finite, one of them not
            broadcastable to x, a batch of keys, broadcast_dims out of range or repeated.

    Example:
        >>> y = flaxnoise.masked_gaussian_noise(key, x, rate=0.2, stddev=0.1)
    """
    owner = "masked_gaussian_noise"
    x = arguments.inexact(owner, x, complex_too=False)
    arguments.rate(owner, rate, x.shape)
    stddev = arguments.nonnegative(owner, "stddev", stddev, x.shape, x.dtype)
    dims = arguments.dimensions(owner, broadcast_dims, x.ndim)
    key = arguments.single_key(owner, key)
    if arguments.is_zero(rate) or arguments.is_zero(stddev):
        return x
    return _masked_gaussian_noise(key, x, rate, stddev, dims)


@functools.partial(jax.jit, static_argnames="dims", inline=FLAT)
def _gaussian_dropout(
    key: jax.Array, x: jax.Array, rate: jax.Array, dims: tuple[int, ...]
) -> jax.Array:
    rate = jnp.asarray(rate, precision(x))
    positive = rate > 0
    rate = jnp.minimum(jnp.where(positive, rate, 0.5), 1 - 2.0**-24)
    stddev = jnp.where(positive, jnp.sqrt(rate / (1 - rate)), 0)
    return apply("normal", key, x, dims, a=1.0, b=stddev)


@functools.partial(jax.jit, static_argnames="dims", inline=FLAT)
def _gaussian_noise(
    key: jax.Array, x: jax.Array, stddev: jax.Array, dims: tuple[int, ...]
) -> jax.Array:
    return apply("normal", key, x, dims, a=1.0, d=finite(stddev, precision(x)))


@functools.partial(jax.jit, static_argnames="dims", inline=FLAT)
def _masked_gaussian_noise(
    key: jax.Array, x: jax.Array, rate: jax.Array, stddev: jax.Array, dims: tuple[int, ...]
) -> jax.Array:
    drop, _ = bernoulli(rate, dtype=precision(x))
    stddev = finite(stddev, precision(x))
    return apply("masked_normal", key, x, dims, threshold=drop, a=1.0, d=stddev)
