"""The four functions of a jax key implementation, computed by the stream.

A key has four words. Under one key the stream is a bijection from counters to blocks of four words,

    block b of domain d = Philox4x32-10 of (b low, b high, k2 ^ d << 24, k3) under (k0, k1),

and each way to derive keys has a domain of its own, which no noise uses:

    key of seed s        block (s low) of the domain "seed" under the words (0, 0, 0, s high)
    split(key, …)[i]     block i of the domain "split", whatever the number of keys
    fold_in(key, data)   block (data) of the domain "fold_in"
    random_bits(key, …)  the words of the domain "bits" in order, as flaxnoise.random.bits

Collisions of keys:

- All 2^64 seeds have different counters under the same Philox key, and so have all children of one
  key (2^62 of split, 2^32 of fold_in). Philox is a bijection of counters, so these keys differ with
  certainty. For the same reason no child of a key appears in the noise of that key.
- Keys with different parents may collide, with the probability of random words of 128 bits: for n
  keys at most n²/2^129, which is 2^-65 for 2^32 keys.
- Two keys share blocks between different domains only if they agree in everything except the upper
  byte of k2. For n keys the probability is at most n²/2^121, which is 2^-57 for 2^32 keys.
- Keys of jax's own implementations have words (k0, k1, 0, 0) or four words. The key of seed 0 is
  all zeros, and has the same Philox key as our seeds, but no noise uses the domain "seed".
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from flaxnoise.affine import DOMAINS, FLAT, Location, draw

KEY_SHAPE = (4,)

# Shape of an array that holds blocks 0 … 2^32 − 1, so that indices have 64 bits.
_ALL_BLOCKS = (1 << 34,)


def seed(value: jax.Array) -> jax.Array:
    """uint32[4], the key of an integer seed, which is extended to 64 bits.

    Raises:
        TypeError: value is not an integer.
    """
    if not jnp.issubdtype(value.dtype, jnp.integer):
        raise TypeError(f"key: seed must be an integer, got {value.dtype}.")
    return _seed(value)


@functools.partial(jax.jit, inline=FLAT)
def _seed(value: jax.Array) -> jax.Array:
    with jax.enable_x64(True):
        wide = value.astype(jnp.int64)  # extends the sign
        low, high = wide.astype(jnp.uint32), (wide >> jnp.int64(32)).astype(jnp.uint32)
        # Stacking zeros instead would fail under vmap over seeds sharded on explicit axes.
        words = lax.pad(high[None], jnp.uint32(0), [(3, 0, 0)])
        return _block(words, "seed", low)


def split(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """uint32[*shape, 4], independent keys; the i-th in row-major order is block i."""
    return _split(key, tuple(shape))


@functools.partial(jax.jit, static_argnums=1, inline=FLAT)
def _split(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    return _words(_in_domain(key, "split"), (*shape, *KEY_SHAPE))


@functools.partial(jax.jit, inline=FLAT)
def _fold_in(key: jax.Array, data: jax.Array) -> jax.Array:
    return _block(key, "fold_in", data.astype(jnp.uint32))


def fold_in(key: jax.Array, data: jax.typing.ArrayLike) -> jax.Array:
    """uint32[4], the key derived from a key and 32 bits of data."""
    return _fold_in(key, jnp.asarray(data))


def random_bits(key: jax.Array, bit_width: int, shape: tuple[int, ...]) -> jax.Array:
    """Unsigned integers of 8, 16, 32 or 64 bits, which use all bits of the stream's words in order.

    Element i consists of bits i·bit_width to (i + 1)·bit_width − 1, where bit j of word w has
    number 32·w + j. So narrow elements share a word, lowest bits first, and wide ones take two.
    """
    return _random_bits(key, bit_width, tuple(shape))


@functools.partial(jax.jit, static_argnums=(1, 2), inline=FLAT)
def _random_bits(key: jax.Array, bit_width: int, shape: tuple[Any, ...]) -> jax.Array:
    if bit_width == 32:
        return _words(key, shape)
    if bit_width == 64:
        # Lowering may run in 32-bit mode.
        with jax.enable_x64(True):
            pairs = _words(key, (*shape, 2)).astype(jnp.uint64)
            return pairs[..., 0] | (pairs[..., 1] << jnp.uint64(32))
    per_word = 32 // bit_width
    if shape and isinstance(shape[-1], int) and shape[-1] % per_word == 0:
        # No word is shared between rows, so the array can be sharded along all dimensions.
        words = _words(key, (*shape[:-1], shape[-1] // per_word))
        return _parts(words, bit_width).reshape(shape)
    size = math.prod(shape)
    words = _words(key, (-(-size // per_word),))
    return _parts(words, bit_width).reshape(-1)[:size].reshape(shape)


def _parts(words: jax.Array, bit_width: int) -> jax.Array:
    """The parts of each word, lowest first, along a new last dimension."""
    dtype = jnp.dtype(f"uint{bit_width}")
    if all(isinstance(size, int) for size in words.shape):
        return lax.bitcast_convert_type(words, dtype)
    # StableHLO does not support that cast for symbolic dimensions.
    shifts = jnp.arange(0, 32, bit_width, dtype=jnp.uint32)
    return (words[..., None] >> shifts).astype(dtype)


def _block(key: jax.Array, domain: str, number: jax.Array) -> jax.Array:
    """uint32[4], a block of a domain, given its uint32 number."""
    first = jnp.stack([number << jnp.uint32(2), number >> jnp.uint32(30)])
    location = Location(first, _ALL_BLOCKS)
    return draw("bits", _in_domain(key, domain), KEY_SHAPE, jnp.uint32, location=location)


def _words(key: jax.Array, shape: tuple[Any, ...]) -> jax.Array:
    return draw("bits", key, shape, jnp.uint32, location=Location())  # local_shard does not apply


def _in_domain(key: jax.Array, domain: str) -> jax.Array:
    """The words under which domain 0, that of bits, has the blocks of another domain of the key."""
    return key ^ jnp.array([0, 0, DOMAINS[domain] << 24, 0], jnp.uint32)
