"""Checks of keys: one, or a batch of them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flaxnoise.arguments.arrays import short

KEY_WORDS = 4

# By the names of flax.nnx's classes, which are not imported here: how to get a key out of one.
_HOLDERS = {
    "Rngs": "rngs.dropout()",
    "RngStream": "stream(), a call of the stream",
    "Variable": "its value, key[...]",
}


def single_key(owner: str, key: Any) -> Any:
    """A key, typed or raw, of at most four words.

    Raises:
        TypeError: not a key.
        ValueError: a batch of keys.
    """
    batch = key_batch(owner, key)
    if batch:
        raise ValueError(
            f"{owner}: key must be a single key, got a batch of keys of shape {batch}. "
            "Map over them with jax.vmap."
        )
    return key


def key_batch(owner: str, keys: Any) -> tuple[int, ...]:
    """Dimensions of a batch of keys, typed or raw.

    Raises:
        TypeError: not keys.
    """
    if keys is None:
        raise TypeError(f"{owner}: key is missing. Pass one, such as jax.random.key(0).")
    if isinstance(keys, jax.Array | np.ndarray):
        if jnp.issubdtype(keys.dtype, jax.dtypes.prng_key):
            return tuple(keys.shape)
        if keys.dtype == jnp.uint32 and keys.shape[-1:] in ((1,), (2,), (KEY_WORDS,)):
            return tuple(keys.shape[:-1])
    raise TypeError(f"{owner}: key must be a jax.random key, got {_named(keys)}")


def key_words(key: jax.Array) -> jax.Array:
    """uint32[4] of a key; the words that it lacks are 0."""
    typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    words = jax.random.key_data(key) if typed else key
    # Not concatenate: under vmap, that refuses keys that are sharded over explicit axes.
    return jax.lax.pad(words, jnp.uint32(0), [(0, KEY_WORDS - words.size, 0)])


def _named(value: Any) -> str:
    """A value that is not a key, and how to get a key out of it."""
    for base in type(value).__mro__:
        if base.__module__.partition(".")[0] == "flax" and base.__name__ in _HOLDERS:
            return f"an nnx.{type(value).__name__}. Pass {_HOLDERS[base.__name__]}."
    return f"{short(value)}."
