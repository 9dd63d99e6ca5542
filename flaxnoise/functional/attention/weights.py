"""Dropout of attention weights."""

import jax

from flaxnoise import arguments
from flaxnoise.functional.certain import same_for_every_key
from flaxnoise.functional.dropout import scaled_dropout


@same_for_every_key(rate=(0, 1))
def attention_dropout(
    key: jax.Array,
    weights: jax.Array,
    rate: jax.typing.ArrayLike,
    *,
    broadcast_dropout: bool = False,
) -> jax.Array:
    """Drops attention weights and scales the rest: y = weights·keep/P(keep).

    Apply it after the softmax. Vaswani et al., "Attention is all you need", NeurIPS 2017.

    Args:
        key: a jax.random key, typed or raw; under vmap, a batch of them.
        weights: floating array [*batch, heads, queries, keys].
        rate: share of the weights dropped, as in ``dropout``.
        broadcast_dropout: whether batch and heads share one mask, which is the default in Flax's
            attention.

    Returns:
        An array of the shape and dtype of weights.

    Raises:
        TypeError: key is not a key, weights are not floating, rate is not real.
        ValueError: weights have fewer than 2 dimensions, rate outside [0, 1] or not broadcastable,
            a batch of keys.

    Example:
        >>> weights = jax.nn.softmax(jnp.ones((2, 4, 9, 9)))
        >>> y = flaxnoise.attention_dropout(key, weights, 0.1)
    """
    owner = "attention_dropout"
    weights = arguments.inexact(owner, weights, complex_too=False, name="weights")
    arguments.at_least_dimensions(owner, weights, 2, name="weights")
    arguments.rate(owner, rate, weights.shape)
    shared = arguments.flag(owner, "broadcast_dropout", broadcast_dropout)
    dims = tuple(range(weights.ndim - 2)) if shared else ()
    return scaled_dropout(arguments.single_key(owner, key), weights, rate, dims)
