"""Keys: one, or a batch of them."""

from typing import Any

import jax
import jax.numpy as jnp

from flaxnoise.arguments.arrays import short

KEY_WORDS = 4


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
    dtype = getattr(keys, "dtype", None)
    typed = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)
    if not typed and (dtype != jnp.uint32 or keys.shape[-1:] not in ((1,), (2,), (KEY_WORDS,))):
        raise TypeError(f"{owner}: key must be a jax.random key, got {short(keys)}.")
    return tuple(keys.shape) if typed else tuple(keys.shape)[:-1]


def key_words(key: jax.Array) -> jax.Array:
    """uint32[4] of a key; the words that it lacks are 0."""
    typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    words = jax.random.key_data(key) if typed else key
    # Not concatenate: under vmap, that refuses keys that are sharded over explicit axes.
    return jax.lax.pad(words, jnp.uint32(0), [(0, KEY_WORDS - words.size, 0)])
