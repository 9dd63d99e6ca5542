"""Noise on text: replaces tokens by a mask token, zeroes words."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from flaxnoise import arguments, random
from flaxnoise.affine import FLAT, weakly_typed_as
from flaxnoise.functional.certain import same_for_every_key
from flaxnoise.functional.dropout import scaled_dropout


@same_for_every_key(rate=(0, 1))
def token_dropout(
    key: jax.Array,
    ids: jax.Array,
    rate: jax.typing.ArrayLike,
    *,
    mask_id: jax.typing.ArrayLike,
    protected: Sequence[int] | jax.Array = (),
) -> jax.Array:
    """Replaces a share of the tokens by mask_id, except protected ones.

    Replaces the elements that ``dropout`` drops with the same key and rate, unless protected.

    Bowman et al., "Generating sentences from a continuous space", CoNLL 2016; Devlin et al.,
    "BERT", NAACL 2019.

    Args:
        key: a jax.random key, typed or raw; under vmap, a batch of them.
        ids: integer array of any shape.
        rate: share of the unprotected tokens replaced, in [0, 1]; a number, or an array that
            broadcasts to ids. May be traced, as in ``dropout``.
        mask_id: an integer in the range of ids' dtype, or an array of these that broadcasts to ids.
            A value that is traced or on an accelerator is not checked and wraps around.
        protected: ids that are never replaced, such as those of padding and separators. Those
            outside of the range of ids' dtype have no effect.

    Returns:
        An array of the shape and dtype of ids.

    Raises:
        TypeError: key is not a key, ids, mask_id or protected are not integers, rate is not real.
        ValueError: rate outside [0, 1] or not broadcastable to ids, mask_id out of range or not
            broadcastable to ids, ids of more than 32 bits without jax_enable_x64, a batch of keys.

    Example:
        >>> ids = jnp.array([[1, 15, 27, 2, 0, 0]])
        >>> y = flaxnoise.token_dropout(key, ids, 0.15, mask_id=3, protected=(0, 1, 2))
    """
    owner = "token_dropout"
    ids = arguments.integers(owner, "ids", ids)
    arguments.rate(owner, rate, ids.shape)
    mask_id = arguments.integers(owner, "mask_id", mask_id, like=ids.dtype)
    arguments.broadcastable(owner, "mask_id", mask_id.shape, ids.shape)
    unchanged = arguments.unconverted_integers(owner, "protected", protected).ravel()
    if isinstance(unchanged, np.ndarray):
        unchanged = unchanged[arguments.fitting(unchanged, ids.dtype)].astype(ids.dtype)
    key = arguments.single_key(owner, key)
    return ids if arguments.is_zero(rate) else _token_dropout(key, ids, rate, mask_id, unchanged)


@same_for_every_key(rate=(0, 1))
def word_dropout(key: jax.Array, x: jax.Array, rate: jax.typing.ArrayLike) -> jax.Array:
    """Drops whole words and scales the rest: ``dropout`` with a mask shared along the features.

    Applied to an embedded text, it zeroes each occurrence of a word independently. Applied to the
    embedding matrix (``WeightNoise`` around an Embed layer), it zeroes all occurrences of a word
    together, as in Gal and Ghahramani, "A theoretically grounded application of dropout in
    recurrent neural networks", NeurIPS 2016. To drop features of embeddings instead, use
    ``spatial_dropout_1d``.

    Args:
        key: a jax.random key, typed or raw; under vmap, a batch of them.
        x: floating or complex array [*words, features].
        rate: share of the words dropped, as in ``dropout``.

    Returns:
        An array of x's shape and dtype.

    Raises:
        TypeError: key is not a key, x is not floating or complex, rate is not real.
        ValueError: x has no dimensions, rate outside [0, 1] or not broadcastable to x, a batch of
            keys.

    Example:
        >>> y = flaxnoise.word_dropout(key, jnp.ones((4, 17, 8)), 0.1)
    """
    x = arguments.inexact("word_dropout", x, complex_too=True)
    arguments.at_least_dimensions("word_dropout", x, 1)
    arguments.rate("word_dropout", rate, x.shape)
    return scaled_dropout(arguments.single_key("word_dropout", key), x, rate, (x.ndim - 1,))


@functools.partial(jax.jit, inline=FLAT)
def _token_dropout(
    key: jax.Array, ids: jax.Array, rate: jax.Array, mask_id: jax.Array, protected: jax.Array
) -> jax.Array:
    kept = random.keep_mask(key, ids.shape, rate) | _among(ids, protected)
    return weakly_typed_as(jnp.where(kept, ids, mask_id), ids)


def _among(ids: jax.Array, protected: jax.Array) -> jax.Array:
    """Which ids are protected. Protected values outside of the range of ids' dtype match none."""
    if protected.dtype == ids.dtype:
        return jnp.isin(ids, protected)
    narrow = protected.astype(ids.dtype)
    same = (narrow.astype(protected.dtype) == protected) & ((narrow < 0) == (protected < 0))
    return ((ids[..., None] == narrow) & same).any(-1)
