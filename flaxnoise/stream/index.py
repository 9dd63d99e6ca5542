"""Which word of which block belongs to the element of a given linear index.

Elements j and j + 512 of a chunk of 1024 share a word of the kinds of 16 bits: each has one half of
it, and the other half refines. Where 31 bits decide, which is for rates below 2^-10 or above
1 − 2^-10, the two are correlated: by 2e-4 (measured) at rate 1e-6, by 0.02 at 1e-8. At all other
rates 16 bits decide, and all elements are independent.

An index is 64 bit, held as (low, high) uint32 words; ``high=None`` says that every index is below
2^32, and saves the arithmetic. Four consecutive elements share a block of four words.
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
    """Linear indices as uint64; only right under ``jax.enable_x64(True)``, as is ``split``."""
    return low.astype(jnp.uint64) | (high.astype(jnp.uint64) << jnp.uint64(32))


def split(index: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(low, high) words of uint64 indices."""
    return index.astype(jnp.uint32), (index >> jnp.uint64(32)).astype(jnp.uint32)
