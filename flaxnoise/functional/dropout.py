"""Dropout of elements and of whole feature maps."""

import functools
from collections.abc import Sequence

import jax

from flaxnoise import arguments
from flaxnoise.affine import FLAT
from flaxnoise.functional.certain import same_for_every_key
from flaxnoise.functional.formula import apply, bernoulli, precision


@same_for_every_key(rate=(0, 1))
def dropout(
    key: jax.Array,
    x: jax.Array,
    rate: jax.typing.ArrayLike,
    *,
    broadcast_dims: int | Sequence[int] = (),
) -> jax.Array:
    """Drops elements and scales the rest: y = x·keep/P(keep), P(keep) = 1 − rate.

    A dropped element is 0 and has a zero gradient, even where x is inf or NaN. Rate 0 gives x
    itself, rate 1 gives zeros. The result equals
    ``where(keep_mask(key, x.shape, rate), x·(1/P(keep)), 0)``.

    The rate is rounded to float32 and then to a threshold for random integers. From 3e-8 to
    1 − 4e-6 the realised rate deviates from the given one by at most 1/128 of min(rate, 1 − rate);
    beyond, by the resolution of the threshold (2^-31) and of float32 near 1. P(keep) is computed
    from the realised rate (``flaxnoise.random.realised_rate``), so that the mean of y is x.

    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR
    2014.

    Args:
        key: a jax.random key, typed or raw; under vmap, a batch of them.
        x: floating or complex array of any shape.
        rate: share of the elements dropped, in [0, 1]; a number, or an array that broadcasts to x.
            May be traced. A rate that is traced or on an accelerator is not checked: values below 0
            count as 0, values above 1 and NaN as 1. Has no gradient.
        broadcast_dims: dimensions along which the mask is shared.

    Returns:
        An array of x's shape and dtype.

    Raises:
        TypeError: key is not a key, x is not floating or complex, rate is not real, broadcast_dims
            are not integers.
        ValueError: rate outside [0, 1] or not broadcastable to x, a batch of keys, broadcast_dims
            out of range or repeated.

    Example:
        >>> y = flaxnoise.dropout(key, x, 0.5)
        >>> bool(((y == 0) | (y == 2 * x)).all())
        True
    """
    x = arguments.inexact("dropout", x, complex_too=True)
    arguments.rate("dropout", rate, x.shape)
    dims = arguments.dimensions("dropout", broadcast_dims, x.ndim)
    return scaled_dropout(arguments.single_key("dropout", key), x, rate, dims)


@same_for_every_key(rate=(0, 1))
def spatial_dropout_1d(key: jax.Array, x: jax.Array, rate: jax.typing.ArrayLike) -> jax.Array:
    """Drops whole feature maps of sequences: ``dropout`` with a mask shared along time.

    The mask has one entry for each sequence and feature; this is also the locked (variational)
    dropout of recurrent networks. Equivalent to Keras' SpatialDropout1D and, with features last, to
    torch's Dropout1d.

    Tompson et al., "Efficient object localization using convolutional networks", CVPR 2015; Gal and
    Ghahramani, "A theoretically grounded application of dropout in recurrent neural networks",
    NeurIPS 2016.

    Args:
        key: a jax.random key, typed or raw; under vmap, a batch of them.
        x: floating or complex array [*batch, time, features].
        rate: share of the feature maps dropped, as in ``dropout``.

    Returns:
        An array of x's shape and dtype.

    Raises:
        TypeError: key is not a key, x is not floating or complex, rate is not real.
        ValueError: x has too few dimensions, rate outside [0, 1] or not broadcastable to x, a batch
            of keys.

    Example:
        >>> y = flaxnoise.spatial_dropout_1d(key, jnp.ones((4, 7, 3)), 0.5)
    """
    return _spatial("spatial_dropout_1d", key, x, rate, 1)


@same_for_every_key(rate=(0, 1))
def spatial_dropout_2d(key: jax.Array, x: jax.Array, rate: jax.typing.ArrayLike) -> jax.Array:
    """Drops whole feature maps of images: ``dropout`` with a mask shared along height and width.

    Equivalent to Keras' SpatialDropout2D and, with features last, to torch's Dropout2d.

    Args:
        key: a jax.random key, typed or raw; under vmap, a batch of them.
        x: floating or complex array [*batch, height, width, features].
        rate: share of the feature maps dropped, as in ``dropout``.

    Returns:
        An array of x's shape and dtype.

    Raises:
        TypeError: key is not a key, x is not floating or complex, rate is not real.
        ValueError: x has too few dimensions, rate outside [0, 1] or not broadcastable to x, a batch
            of keys.

    Example:
        >>> y = flaxnoise.spatial_dropout_2d(key, jnp.ones((4, 7, 7, 3)), 0.5)
    """
    return _spatial("spatial_dropout_2d", key, x, rate, 2)


@same_for_every_key(rate=(0, 1))
def spatial_dropout_3d(key: jax.Array, x: jax.Array, rate: jax.typing.ArrayLike) -> jax.Array:
    """Drops whole feature maps of volumes: ``dropout`` with a mask shared along three dimensions.

    Equivalent to Keras' SpatialDropout3D and, with features last, to torch's Dropout3d.

    Args:
        key: a jax.random key, typed or raw; under vmap, a batch of them.
        x: floating or complex array [*batch, depth, height, width, features].
        rate: share of the feature maps dropped, as in ``dropout``.

    Returns:
        An array of x's shape and dtype.

    Raises:
        TypeError: key is not a key, x is not floating or complex, rate is not real.
        ValueError: x has too few dimensions, rate outside [0, 1] or not broadcastable to x, a batch
            of keys.

    Example:
        >>> y = flaxnoise.spatial_dropout_3d(key, jnp.ones((2, 5, 7, 7, 3)), 0.5)
    """
    return _spatial("spatial_dropout_3d", key, x, rate, 3)


def _spatial(
    owner: str, key: jax.Array, x: jax.Array, rate: jax.typing.ArrayLike, space: int
) -> jax.Array:
    x = arguments.inexact(owner, x, complex_too=True)
    arguments.at_least_dimensions(owner, x, space + 1)
    arguments.rate(owner, rate, x.shape)
    dims = tuple(range(x.ndim - 1 - space, x.ndim - 1))
    return scaled_dropout(arguments.single_key(owner, key), x, rate, dims)


def scaled_dropout(
    key: jax.Array, x: jax.Array, rate: jax.typing.ArrayLike, dims: tuple[int, ...]
) -> jax.Array:
    """Dropout of arguments that are already checked."""
    return x if arguments.is_zero(rate) else _dropout(key, x, rate, dims)


@functools.partial(jax.jit, static_argnames="dims", inline=FLAT)
def _dropout(
    key: jax.Array, x: jax.Array, rate: jax.typing.ArrayLike, dims: tuple[int, ...]
) -> jax.Array:
    drop, scale = bernoulli(rate, dtype=precision(x))
    return apply("keep", key, x, dims, threshold=drop, b=scale)
