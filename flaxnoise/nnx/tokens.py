"""Noise on text."""

import dataclasses
from collections.abc import Sequence

import jax

from flaxnoise import functional
from flaxnoise.nnx.base import Noise, Number


class TokenDropout(Noise):
    """Replaces a share of the tokens by mask_id, except protected ones.

    Layer version of ``flaxnoise.token_dropout``.

    Args:
        rate: share of the unprotected tokens replaced, in [0, 1]. Given here or at call time.
        mask_id: the id that replaces them; required.
        protected: ids that are never replaced.
        deterministic, rng_collection, rngs: as in ``Dropout``.

    Example:
        >>> from flax import nnx
        >>> noise = flaxnoise.nnx.TokenDropout(0.15, mask_id=3, protected=(0, 1), rngs=nnx.Rngs(0))
        >>> y = noise(jnp.array([[1, 15, 27, 0]]))
    """

    rate: Number = None
    _: dataclasses.KW_ONLY
    mask_id: int | jax.Array | None = None
    protected: Sequence[int] = ()
    _function = staticmethod(functional.token_dropout)


class WordDropout(Noise):
    """Drops whole words [*words, features] and scales the rest.

    Layer version of ``flaxnoise.word_dropout``.

    Args:
        rate: share of the words dropped, in [0, 1]. Given here or at call time.
        deterministic, rng_collection, rngs: as in ``Dropout``.

    Example:
        >>> from flax import nnx
        >>> noise = flaxnoise.nnx.WordDropout(0.1, rngs=nnx.Rngs(0))
        >>> y = noise(x)
    """

    rate: Number = None
    _function = staticmethod(functional.word_dropout)
