"""Noise on text."""

from collections.abc import Sequence

import jax

from flaxnoise import functional
from flaxnoise.linen.base import Noise, Rate


class TokenDropout(Noise, Rate):
    """Replaces a share of the tokens by mask_id, except protected ones.

    Layer version of ``flaxnoise.token_dropout``.

    Attributes:
        rate: share of the unprotected tokens replaced, in [0, 1]. Given here or at call time.
        mask_id: the id that replaces them; required.
        protected: ids that are never replaced.
        deterministic, rng_collection: as in ``Dropout``.

    Example:
        >>> noise = flaxnoise.linen.TokenDropout(0.15, mask_id=3, protected=(0, 1))
        >>> ids = jnp.array([[1, 15, 27, 0]])
        >>> y = noise.apply({}, ids, deterministic=False, rngs={"dropout": key})
    """

    mask_id: int | jax.Array | None = None
    protected: Sequence[int] = ()
    _function = staticmethod(functional.token_dropout)


class WordDropout(Noise, Rate):
    """Drops whole words [*words, features] and scales the rest.

    Layer version of ``flaxnoise.word_dropout``.

    Attributes:
        rate: share of the words dropped, in [0, 1]. Given here or at call time.
        deterministic, rng_collection: as in ``Dropout``.

    Example:
        >>> noise = flaxnoise.linen.WordDropout(0.1, deterministic=False)
        >>> y = noise.apply({}, x, rngs={"dropout": key})
    """

    _function = staticmethod(functional.word_dropout)
