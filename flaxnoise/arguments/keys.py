"""Checks of keys: single keys and batches of keys."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flaxnoise.arguments.arrays import short

KEY_WORDS = 4

# How to get a key out of objects of flax.nnx, by class name, so that Flax need not be imported.
_HOLDERS = {
    "Rngs": "rngs.dropout()",
    "RngStream": "stream(), a call of the stream",
    "Variable": "its value, key[...]",
}


def single_key(owner: str, key: Any) -> Any:
    """Checks that key is a single key, typed or raw, and returns it.

    Raises:
        TypeError: key is not a key.
        ValueError: key is a batch of keys.
    """
    batch = key_batch(owner, key)
    if batch:
        raise ValueError(
            f"{owner}: key must be a single key, got a batch of keys of shape {batch}. "
            "Map over them with jax.vmap."
        )
    return key


def key_batch(owner: str, keys: Any) -> tuple[int, ...]:
    """The batch dimensions of keys, typed or raw; () for a single key.

    Raises:
        TypeError: keys are not keys.
    """
    if keys is None:
        raise TypeError(f"{owner}: key is missing. Pass one, such as jax.random.key(0).")
    if isinstance(keys, jax.Array | np.ndarray):
        if jnp.issubdtype(keys.dtype, jax.dtypes.prng_key):
            words = _data_shape(keys.dtype)
            if len(words) != 1 or not 1 <= words[0] <= KEY_WORDS:
                raise TypeError(
                    f"{owner}: key must have data of 1 to {KEY_WORDS} words, got keys of "
                    f"{keys.dtype} with data of shape {words}."
                )
            return tuple(keys.shape)
        if keys.dtype == jnp.uint32 and keys.shape[-1:] in ((1,), (2,), (KEY_WORDS,)):
            return tuple(keys.shape[:-1])
    raise TypeError(f"{owner}: key must be a jax.random key, got {_named(keys)}")


@functools.cache
def _data_shape(dtype: Any) -> tuple[int, ...]:
    """The shape of jax.random.key_data of a single typed key."""
    return jax.eval_shape(jax.random.key_data, jax.ShapeDtypeStruct((), dtype)).shape


def key_words(key: jax.Array) -> jax.Array:
    """uint32[4], the words of a key, padded with zeros."""
    typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    words = jax.random.key_data(key) if typed else key
    # Concatenating zeros instead would fail under vmap over keys sharded on explicit axes.
    return jax.lax.pad(words, jnp.uint32(0), [(0, KEY_WORDS - words.size, 0)])


def _named(value: Any) -> str:
    """Text about a value that is not a key, and how to get a key out of it."""
    for base in type(value).__mro__:
        if base.__module__.partition(".")[0] == "flax" and base.__name__ in _HOLDERS:
            return f"an nnx.{type(value).__name__}. Pass {_HOLDERS[base.__name__]}."
    return f"{short(value)}."
