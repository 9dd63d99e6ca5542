"""Dropout for self-normalising networks."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from flaxnoise import arguments
from flaxnoise.affine import FLAT, realised_rate, threshold
from flaxnoise.functional.certain import same_for_every_key
from flaxnoise.functional.formula import apply, precision

# α′ = −λα, the limit of SELU at −∞ (Klambauer et al. 2017).
ALPHA_PRIME = -1.7580993408473766


@same_for_every_key(rate=(0, 1))
def alpha_dropout(
    key: jax.Array,
    x: jax.Array,
    rate: jax.typing.ArrayLike,
    *,
    broadcast_dims: int | Sequence[int] = (),
) -> jax.Array:
    """Drops elements to SELU's saturation α′, keeping mean 0 and variance 1: y = A·z + B.

    z is x where kept and α′ where dropped, A = (q + α′²·q·(1 − q))^(−1/2), B = −A·(1 − q)·α′ and
    q = P(keep). If x has mean 0 and variance 1, then so has y, at every rate below 1. Rate 0 gives
    x; rate 1 gives zeros, the limit.

    Klambauer et al., "Self-normalizing neural networks", NeurIPS 2017. Equivalent to torch's
    AlphaDropout.

    Args:
        key: a jax.random key, typed or raw; under vmap, a batch of them.
        x: floating array of any shape.
        rate: share of the elements dropped, in [0, 1], with the mask of ``dropout``. Has no
            gradient.
        broadcast_dims: dimensions along which the mask is shared.

    Returns:
        An array of x's shape and dtype.

    Raises:
        TypeError: key is not a key, x is not floating, rate is not real, broadcast_dims are not
            integers.
        ValueError: rate outside [0, 1] or not broadcastable to x, a batch of keys, broadcast_dims
            out of range or repeated.

    Example:
        >>> y = flaxnoise.alpha_dropout(key, jax.nn.selu(x), 0.1)
    """
    x = arguments.inexact("alpha_dropout", x, complex_too=False)
    arguments.rate("alpha_dropout", rate, x.shape)
    dims = arguments.dimensions("alpha_dropout", broadcast_dims, x.ndim)
    key = arguments.single_key("alpha_dropout", key)
    return x if arguments.is_zero(rate) else _alpha_dropout(key, x, rate, dims)


@same_for_every_key(rate=(0, 1))
def feature_alpha_dropout(key: jax.Array, x: jax.Array, rate: jax.typing.ArrayLike) -> jax.Array:
    """Drops whole feature maps to SELU's saturation: ``alpha_dropout``, one mask entry per map.

    Equivalent to torch's FeatureAlphaDropout with features last.

    Args:
        key: a jax.random key, typed or raw; under vmap, a batch of them.
        x: floating array [batch, …, features].
        rate: share of the feature maps dropped, as in ``alpha_dropout``.

    Returns:
        An array of x's shape and dtype.

    Raises:
        TypeError: key is not a key, x is not floating, rate is not real.
        ValueError: x has fewer than 2 dimensions, rate outside [0, 1] or not broadcastable to x, a
            batch of keys.

    Example:
        >>> images = jnp.ones((4, 7, 7, 3))
        >>> y = flaxnoise.feature_alpha_dropout(key, images, 0.5)
    """
    owner = "feature_alpha_dropout"
    x = arguments.inexact(owner, x, complex_too=False)
    dims = _between_batch_and_features(owner, x)
    arguments.rate(owner, rate, x.shape)
    key = arguments.single_key(owner, key)
    return x if arguments.is_zero(rate) else _alpha_dropout(key, x, rate, dims)


def _between_batch_and_features(owner: str, x: jax.Array) -> tuple[int, ...]:
    """All dimensions but the first and the last."""
    arguments.at_least_dimensions(owner, x, 2)
    return tuple(range(1, x.ndim - 1))


@functools.partial(jax.jit, static_argnames="dims", inline=FLAT)
def _alpha_dropout(
    key: jax.Array, x: jax.Array, rate: jax.Array, dims: tuple[int, ...]
) -> jax.Array:
    drop, factor, dropped, change = _coefficients(rate, dtype=precision(x))
    return apply("keep", key, x, dims, threshold=drop, b=factor, c=dropped, d=change)


@functools.partial(jax.jit, static_argnames="dtype")
def _coefficients(rate: jax.Array, *, dtype: jnp.dtype) -> tuple[jax.Array, ...]:
    """(threshold, A, A·α′ + B, −A·α′): b, c and d of the formula follow the threshold."""
    drop = threshold(rate)
    gone = realised_rate(drop, dtype)
    kept = 1 - gone
    inside = kept > 0
    kept = jnp.where(inside, kept, 1)
    factor = jnp.where(inside, jax.lax.rsqrt(kept * (1 + ALPHA_PRIME**2 * gone)), 0)
    dropped = jnp.where(inside, factor * ALPHA_PRIME * kept, 0)
    # At rate 0, c + d must be exactly 0, so that y is x.
    change = jnp.where(gone > 0, -factor * ALPHA_PRIME, -dropped)
    return drop, factor, dropped, change
