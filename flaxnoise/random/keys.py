"""Keys of our own: with one, all of jax.random and Flax's own layers draw by our kernels."""

import contextlib
import numbers
from collections.abc import Hashable
from typing import Any

import jax
import numpy as np
from jax.extend.random import define_prng_impl

from flaxnoise.arguments.arrays import short
from flaxnoise.random import implementation

NAME = "flaxnoise"

IMPL: Hashable = define_prng_impl(
    key_shape=implementation.KEY_SHAPE,
    seed=implementation.seed,
    split=implementation.split,
    random_bits=implementation.random_bits,
    fold_in=implementation.fold_in,
    name=NAME,
    tag=NAME,
)
"""The key implementation, for ``impl=`` of jax.random.key, wrap_key_data and key_dtype."""


def key(seed: int | jax.typing.ArrayLike) -> jax.Array:
    """Makes a key whose every draw, split and fold_in is computed by flaxnoise's stream.

    A typed key like that of jax.random.key, for jax.random, Flax and all else that takes one. It
    has 128 bits. What it draws depends neither on jit, vmap, sharding or 64-bit mode, nor on the
    device or backend. ``flaxnoise.random.implementation`` says how keys are derived, and why no
    two derivations give the same key.

    - Samplers that draw in a loop for each sample (gamma, and with it beta, chisquare, dirichlet,
      t) are slower on CPU than under jax's default keys; jax.random.poisson takes those alone.
    - jax offers no public way to make an implementation of others its default, so that
      ``nnx.Rngs(0)`` and ``jax.random.key(0)`` stay jax's own: pass a key instead of a seed.
    - Orbax saves and restores such keys within trees, in a program that imports flaxnoise. Its
      JaxRandomKeySave takes jax's default keys alone. jax.random.key_data and
      ``jax.random.wrap_key_data(words, impl=flaxnoise.random.IMPL)`` serve everywhere, also where
      keys cannot go: as arguments of programs that jax.export writes.

    Args:
        seed: an integer of up to 64 bits, −2^63 … 2^63 − 1; or an integer array of no dimensions,
            which may be traced, and counts as its value in 64 bits.

    Returns:
        A key.

    Raises:
        TypeError: seed is no integer.
        ValueError: seed is an array with dimensions, or does not fit into 64 bits.

    Example:
        >>> own = flaxnoise.random.key(0)
        >>> y = jax.random.normal(own, (2, 3))
        >>> z = flaxnoise.dropout(jax.random.fold_in(own, 1), y, 0.5)
        >>> from flax import nnx
        >>> layer = nnx.Dropout(0.5, rngs=nnx.Rngs(own))
    """
    if isinstance(seed, numbers.Integral):
        return _of_integer(int(seed))
    dtype = getattr(seed, "dtype", None)
    if dtype is None or not jax.numpy.issubdtype(dtype, np.integer):
        raise TypeError(f"key: seed must be an integer, got {short(seed)}.")
    if np.shape(seed):
        raise ValueError(
            f"key: seed must be a single integer, got {short(seed)}. Map over them with jax.vmap."
        )
    return jax.random.key(seed, impl=IMPL)


def _of_integer(seed: int) -> jax.Array:
    if not -(1 << 63) <= seed < 1 << 63:
        raise ValueError(f"key: seed must be in [−2^63, 2^63), got {seed}.")
    # In 32-bit mode jax would cut the seed to 32 bits.
    with jax.enable_x64(True):
        return jax.random.key(np.int64(seed), impl=IMPL)


def register() -> None:
    """Lets jax, and Orbax when it restores a checkpoint, find the implementation by its name.

    There is no public way. Without it, IMPL takes the place of the name everywhere in jax.
    """
    with contextlib.suppress(ImportError, AttributeError, TypeError):
        from jax._src.random import prng

        known: dict[str, Any] = prng.prngs
        known[NAME] = IMPL._impl  # pyright: ignore[reportAttributeAccessIssue]


register()
