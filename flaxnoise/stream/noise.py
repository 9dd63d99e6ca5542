"""The noise of an element: a function of (key, index, kind) alone."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from flaxnoise.stream.index import half_address, word_address
from flaxnoise.stream.kinds import KINDS, Kind
from flaxnoise.stream.philox import Words, philox4x32

Generator = Callable[[Words, tuple[jax.Array, jax.Array]], Words]


def counter(key: Words, block_low: jax.Array, block_high: jax.Array, domain: int) -> Words:
    """The Philox counter of a block: (block low, block high, k2 ^ (domain << 24), k3)."""
    return block_low, block_high, key[2] ^ jnp.uint32(domain << 24), key[3]


def block_words(
    key: Words,
    block_low: jax.Array,
    block_high: jax.Array,
    domain: int,
    generator: Generator = philox4x32,
) -> Words:
    """The four words of each block: Philox of its counter under (k0, k1).

    The backends of the affine primitive are faster at drawing the noise of whole arrays.

    Args:
        key: four uint32 arrays that broadcast against the block numbers.
        block_low: lower words of the block numbers.
        block_high: upper words of the block numbers.
        domain: one of kinds.DOMAINS.
        generator: a form of Philox.
    """
    with jax.enable_x64(True):  # for Philox's 64-bit products
        return generator(counter(key, block_low, block_high, domain), (key[0], key[1]))


def draw(
    kind: Kind,
    key: Words,
    low: jax.Array,
    high: jax.Array | None,
    threshold: jax.Array | None,
    generator: Generator = philox4x32,
) -> jax.Array:
    """n of the elements with linear indices (low, high).

    Args:
        kind: kind of noise.
        key: four uint32 arrays that broadcast against low.
        low: lower words of the indices.
        high: upper words, or None if all indices are below 2^32.
        threshold: uint32 that broadcasts against low, for kinds that drop.
        generator: a form of Philox.

    Returns:
        An array of the kind's dtype.
    """
    if kind.where_dropped is not None:
        kept = draw(KINDS["keep"], key, low, high, threshold, generator)
        n = draw(KINDS[kind.where_dropped], key, low, high, None, generator)
        return jnp.where(kept, jnp.zeros((), n.dtype), n)
    if kind.reads == "half":
        return draw_halves(kind, key, half_address(low, high), threshold, generator)
    block_low, block_high, word = word_address(low, high)
    words = block_words(key, block_low, block_high, kind.domain, generator)
    if kind.reads == "word":
        return kind.map(_pick(words, word))
    second_pair, odd = _position(word)
    w0, w1, w2, w3 = words
    return kind.map(jnp.where(second_pair, w2, w0), jnp.where(second_pair, w3, w1), odd)


def draw_halves(
    kind: Kind,
    key: Words,
    address: tuple[jax.Array, ...],
    threshold: jax.Array | None,
    generator: Generator = philox4x32,
) -> jax.Array:
    """n of the elements with addresses (block low, block high, word, upper), for 16-bit kinds."""
    block_low, block_high, word, upper = address
    w = _pick(block_words(key, block_low, block_high, kind.domain, generator), word)
    return kind.map(jnp.where(upper, swapped(w), w), threshold)


def swapped(word: jax.Array) -> jax.Array:
    """Each word with its halves exchanged."""
    return (word << jnp.uint32(16)) | (word >> jnp.uint32(16))


def _pick(words: Words, word: jax.Array) -> jax.Array:
    """words[word], by selects, which are cheaper than a gather on every backend."""
    second_pair, odd = _position(word)
    w0, w1, w2, w3 = words
    return jnp.where(second_pair, jnp.where(odd, w3, w2), jnp.where(odd, w1, w0))


def _position(word: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Whether a word is in the second pair of its block, and whether it is the second of a pair."""
    return (word & jnp.uint32(2)) != jnp.uint32(0), (word & jnp.uint32(1)) != jnp.uint32(0)
