"""The block and the word of the stream that an element reads, from its linear index.

Four consecutive elements share a block of four words. Kinds of 32 bits read one word per element.
In kinds of 16 bits, elements j and j + 512 of a chunk of 1024 share a word: the upper 16 bits of u
are the element's own half, the lower 16 bits are the half of its partner.

The upper 16 bits of u alone decide at rates from 2^-10 to 1 − 2^-10, and all elements are
independent. Outside of that range the lower bits may decide too, and then the two elements of a
word are correlated: by 2e-4 (measured) at rate 1e-6, by 0.02 at 1e-8.

An index has 64 bits and is held as (low, high) uint32 words. ``high=None`` means that every index
is below 2^32, which saves the arithmetic of the upper word.
"""

import jax
import jax.numpy as jnp

CHUNK = 1024
HALF = CHUNK // 2


def word_address(low: jax.Array, high: jax.Array | None) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(block low, block high, word): block = i div 4, word = i mod 4, for kinds of 32 bits."""
    word = low & jnp.uint32(3)
    if high is None:
        return low >> jnp.uint32(2), jnp.uint32(0), word
    block_low = (low >> jnp.uint32(2)) | (high << jnp.uint32(30))
    return block_low, high >> jnp.uint32(2), word


def half_address(
    low: jax.Array, high: jax.Array | None
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """(block low, block high, word, upper) for kinds of 16 bits.

    In each chunk of 1024 elements, j = i mod 1024: block = (i div 1024)·128 + (j mod 512) div 4 and
    word = j mod 4. The elements with j ≥ 512 are ``upper``: they read the word's halves swapped.
    """
    word = low & jnp.uint32(3)
    upper = (low & jnp.uint32(HALF)) != jnp.uint32(0)
    in_chunk = (low & jnp.uint32(HALF - 1)) >> jnp.uint32(2)
    chunk = low >> jnp.uint32(3)
    block_high = jnp.uint32(0)
    if high is not None:
        chunk = chunk | (high << jnp.uint32(29))
        block_high = high >> jnp.uint32(3)
    return (chunk & jnp.uint32(0xFFFFFF80)) | in_chunk, block_high, word, upper


def join(low: jax.Array, high: jax.Array) -> jax.Array:
    """Linear indices as uint64; like ``split``, correct only under ``jax.enable_x64(True)``."""
    return low.astype(jnp.uint64) | (high.astype(jnp.uint64) << jnp.uint64(32))


def split(index: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(low, high) words of uint64 indices."""
    return index.astype(jnp.uint32), (index >> jnp.uint64(32)).astype(jnp.uint32)
