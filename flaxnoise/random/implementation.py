"""What jax asks of a key implementation: seed, split, fold_in and random_bits, drawn by the stream.

A key is four words. Under one key the stream is a bijection from counters to blocks of four words,

    block b of domain d = Philox4x32-10 of (b low, b high, k2 ^ d << 24, k3) under (k0, k1),

and each derivation has a domain of its own, that no noise uses:

    key of seed s        block (s low) of the domain "seed" under the words (0, 0, 0, s high)
    split(key, …)[i]     block i of the domain "split", whatever the number of keys
    fold_in(key, data)   block (data) of the domain "fold_in"
    random_bits(key, …)  the words of the domain "bits" in order, as flaxnoise.random.bits

Why no two derivations give the same key:

- Of all 2^64 seeds, and of all children of one key (2^62 of split, 2^32 of fold_in), each has a
  counter of its own under one Philox key. A bijection maps them to different blocks, so the keys
  differ with certainty. For the same reason no child of a key appears in the noise of that key.
- Keys with different parents are values of Philox under different keys or offsets. Nothing rules
  out that two of them are equal, but it is as improbable as for random words of 128 bits: for n
  keys at most n²/2^129, which is 2^-65 for 2^32 keys.
- Two keys share blocks between different domains only where they agree in everything but the upper
  byte of k2. By the same count that has a probability of at most n²/2^121, 2^-57 for 2^32 keys.
- Keys of jax's own implementations have words (k0, k1, 0, 0) or four words. That of seed 0 is all
  zeros, and so shares its Philox key with our seeds, but no noise is drawn in the domain "seed".
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from flaxnoise.affine import DOMAINS, FLAT, Place, draw

KEY_SHAPE = (4,)

# An array that holds blocks 0 … 2^32 − 1, so that indices are taken as 64 bit.
_ALL_BLOCKS = (1 << 34,)


def seed(value: jax.Array) -> jax.Array:
    """uint32[4], the key of an integer; one of fewer than 64 bits counts as its value in 64.

    Raises:
        TypeError: not an integer.
    """
    if not jnp.issubdtype(value.dtype, jnp.integer):
        raise TypeError(f"key: seed must be an integer, got {value.dtype}.")
    return _seed(value)


@functools.partial(jax.jit, inline=FLAT)
def _seed(value: jax.Array) -> jax.Array:
    with jax.enable_x64(True):
        wide = value.astype(jnp.int64)  # extends the sign
        low, high = wide.astype(jnp.uint32), (wide >> jnp.int64(32)).astype(jnp.uint32)
        # Not stacked with zeros: under vmap, that refuses seeds sharded over explicit axes.
        words = lax.pad(high[None], jnp.uint32(0), [(3, 0, 0)])
        return _block(words, "seed", low)


def split(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """uint32[*shape, 4], independent keys: number i in row-major order is block i."""
    return _split(key, tuple(shape))


@functools.partial(jax.jit, static_argnums=1, inline=FLAT)
def _split(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    return _words(_in_domain(key, "split"), (*shape, *KEY_SHAPE))


@functools.partial(jax.jit, inline=FLAT)
def _fold_in(key: jax.Array, data: jax.Array) -> jax.Array:
    return _block(key, "fold_in", data.astype(jnp.uint32))


def fold_in(key: jax.Array, data: jax.typing.ArrayLike) -> jax.Array:
    """uint32[4], the key number ``data`` of those derived from a key; 32 bits."""
    return _fold_in(key, jnp.asarray(data))


def random_bits(key: jax.Array, bit_width: int, shape: tuple[int, ...]) -> jax.Array:
    """Unsigned integers of 8, 16, 32 or 64 bits: the words of the stream in order, no bit unused.

    Element i is made of the bits from number i·bit_width on, where bit j of word w is number
    32·w + j: narrow elements share a word, its lowest bits first, and wide ones take two.
    """
    return _random_bits(key, bit_width, tuple(shape))


@functools.partial(jax.jit, static_argnums=(1, 2), inline=FLAT)
def _random_bits(key: jax.Array, bit_width: int, shape: tuple[Any, ...]) -> jax.Array:
    if bit_width == 32:
        return _words(key, shape)
    if bit_width == 64:
        # 64-bit integers must not depend on the mode that the lowering runs under.
        with jax.enable_x64(True):
            pairs = _words(key, (*shape, 2)).astype(jnp.uint64)
            return pairs[..., 0] | (pairs[..., 1] << jnp.uint64(32))
    per_word = 32 // bit_width
    if shape and isinstance(shape[-1], int) and shape[-1] % per_word == 0:
        # No row shares a word with the next: the array can be sharded along its dimensions.
        words = _words(key, (*shape[:-1], shape[-1] // per_word))
        return _parts(words, bit_width).reshape(shape)
    size = math.prod(shape)
    words = _words(key, (-(-size // per_word),))
    return _parts(words, bit_width).reshape(-1)[:size].reshape(shape)


def _parts(words: jax.Array, bit_width: int) -> jax.Array:
    """The parts of each word, the lowest first, along one more dimension."""
    dtype = jnp.dtype(f"uint{bit_width}")
    if all(isinstance(size, int) for size in words.shape):
        return lax.bitcast_convert_type(words, dtype)
    # StableHLO has no such cast of symbolic dimensions.
    shifts = jnp.arange(0, 32, bit_width, dtype=jnp.uint32)
    return (words[..., None] >> shifts).astype(dtype)


def _block(key: jax.Array, domain: str, number: jax.Array) -> jax.Array:
    """uint32[4], one block of a domain; its number is a uint32."""
    first = jnp.stack([number << jnp.uint32(2), number >> jnp.uint32(30)])
    place = Place(first, _ALL_BLOCKS)
    return draw("bits", _in_domain(key, domain), KEY_SHAPE, jnp.uint32, place=place)


def _words(key: jax.Array, shape: tuple[Any, ...]) -> jax.Array:
    return draw("bits", key, shape, jnp.uint32, place=Place())  # whole, in a shard_map as well


def _in_domain(key: jax.Array, domain: str) -> jax.Array:
    """The words under which the domain of bits, which is 0, is that of the key in another."""
    return key ^ jnp.array([0, 0, DOMAINS[domain] << 24, 0], jnp.uint32)
