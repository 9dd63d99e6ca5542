"""Typed jax keys that use the stream, so that jax.random and Flax's layers draw by our kernels."""

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
    """Makes a key whose draws, split and fold_in are computed by flaxnoise's stream.

    A typed key of 128 bits, like that of jax.random.key, for jax.random, Flax and anything else
    that takes one. What it draws does not depend on jit, vmap, sharding, 64-bit mode, device or
    backend. ``flaxnoise.random.implementation`` documents how keys are derived, and the
    probability of collisions.

    - Samplers that draw in a loop for each sample (gamma, and so beta, chisquare, dirichlet and t)
      are slower on CPU than with jax's default keys. jax.random.poisson only takes default keys.
    - jax has no public way to make another implementation the default, so ``nnx.Rngs(0)`` and
      ``jax.random.key(0)`` remain jax's own. Pass a key instead of a seed.
    - Orbax saves and restores such keys within trees, in programs that import flaxnoise. Its
      JaxRandomKeySave only takes jax's default keys. jax.random.key_data and
      ``jax.random.wrap_key_data(words, impl=flaxnoise.random.IMPL)`` convert keys wherever typed
      keys are not supported, such as arguments of exported programs.

    Args:
        seed: an integer in −2^63 … 2^63 − 1, or an integer array without dimensions, which may be
            traced and is extended to 64 bits.

    Returns:
        A key.

    Raises:
        TypeError: seed is not an integer.
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
    # In 32-bit mode jax would truncate the seed to 32 bits.
    with jax.enable_x64(True):
        return jax.random.key(np.int64(seed), impl=IMPL)


def register() -> None:
    """Registers the implementation's name with jax; Orbax needs the name to restore checkpoints.

    jax has no public way to do so. In versions where this one fails, pass IMPL instead of the name.
    """
    with contextlib.suppress(ImportError, AttributeError, TypeError):
        from jax._src.random import prng

        known: dict[str, Any] = prng.prngs
        known[NAME] = IMPL._impl  # pyright: ignore[reportAttributeAccessIssue]


register()
