"""Dropout of whole feature maps: the mask is shared along the dimensions of space."""

import jax

from flaxnoise import arguments
from flaxnoise.functional.zeroing import scaled_dropout


def spatial_dropout_1d(key: jax.Array, x: jax.Array, rate: jax.typing.ArrayLike) -> jax.Array:
    """Drops whole feature maps of sequences: ``dropout`` with a mask shared along time.

    One mask entry for each sequence and feature, so that it serves as locked (variational) dropout
    of recurrent networks as well. Keras' SpatialDropout1D, torch's Dropout1d with features last.

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
        TypeError: key is no key, x is not floating or complex, rate is not real.
        ValueError: x has too few dimensions, rate outside [0, 1] or not broadcastable to x, a batch
            of keys.

    Example:
        >>> y = flaxnoise.spatial_dropout_1d(key, jnp.ones((4, 7, 3)), 0.5)
    """
    return _spatial("spatial_dropout_1d", key, x, rate, 1)


def spatial_dropout_2d(key: jax.Array, x: jax.Array, rate: jax.typing.ArrayLike) -> jax.Array:
    """Drops whole feature maps of images: ``dropout`` with a mask shared along height and width.

    Keras' SpatialDropout2D, torch's Dropout2d with features last.

    Args:
        key: a jax.random key, typed or raw; under vmap, a batch of them.
        x: floating or complex array [*batch, height, width, features].
        rate: share of the feature maps dropped, as in ``dropout``.

    Returns:
        An array of x's shape and dtype.

    Raises:
        TypeError: key is no key, x is not floating or complex, rate is not real.
        ValueError: x has too few dimensions, rate outside [0, 1] or not broadcastable to x, a batch
            of keys.

    Example:
        >>> y = flaxnoise.spatial_dropout_2d(key, jnp.ones((4, 7, 7, 3)), 0.5)
    """
    return _spatial("spatial_dropout_2d", key, x, rate, 2)


def spatial_dropout_3d(key: jax.Array, x: jax.Array, rate: jax.typing.ArrayLike) -> jax.Array:
    """Drops whole feature maps of volumes: ``dropout`` with a mask shared along three dimensions.

    Keras' SpatialDropout3D, torch's Dropout3d with features last.

    Args:
        key: a jax.random key, typed or raw; under vmap, a batch of them.
        x: floating or complex array [*batch, depth, height, width, features].
        rate: share of the feature maps dropped, as in ``dropout``.

    Returns:
        An array of x's shape and dtype.

    Raises:
        TypeError: key is no key, x is not floating or complex, rate is not real.
        ValueError: x has too few dimensions, rate outside [0, 1] or not broadcastable to x, a batch
            of keys.

    Example:
        >>> y = flaxnoise.spatial_dropout_3d(key, jnp.ones((2, 5, 7, 7, 3)), 0.5)
    """
    return _spatial("spatial_dropout_3d", key, x, rate, 3)


def between_batch_and_features(owner: str, x: jax.Array) -> tuple[int, ...]:
    """All dimensions but the first and the last."""
    arguments.at_least_dimensions(owner, x, 2)
    return tuple(range(1, x.ndim - 1))


def _spatial(
    owner: str, key: jax.Array, x: jax.Array, rate: jax.typing.ArrayLike, space: int
) -> jax.Array:
    x = arguments.inexact(owner, x, complex_too=True)
    arguments.at_least_dimensions(owner, x, space + 1)
    arguments.rate(owner, rate, x.shape)
    dims = tuple(range(x.ndim - 1 - space, x.ndim - 1))
    return scaled_dropout(arguments.single_key(owner, key), x, rate, dims)
