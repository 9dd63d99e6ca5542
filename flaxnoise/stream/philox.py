"""Philox4x32-10, the counter-based generator of all noise.

Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

Words = tuple[jax.Array, jax.Array, jax.Array, jax.Array]

PHILOX_M4x32_0 = 0xD2511F53
PHILOX_M4x32_1 = 0xCD9E8D57
PHILOX_W32_0 = 0x9E3779B9
PHILOX_W32_1 = 0xBB67AE85
ROUNDS = 10


def multiply_u64(multiplier: int, word: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(high, low) words of a 32x32 -> 64 bit product, computed in 64-bit integers.

    Correct only under ``jax.enable_x64(True)``: otherwise jax converts both factors to 32 bits.
    """
    product = word.astype(jnp.uint64) * jnp.uint64(multiplier)
    return (product >> jnp.uint64(32)).astype(jnp.uint32), product.astype(jnp.uint32)


def multiply_halves(multiplier: int, word: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(high, low) words of a 32x32 -> 64 bit product, from products of 16-bit halves.

    The three branches add the two middle products without overflow: directly if their sum fits into
    32 bits, halved if the upper half of the multiplier is even, else in two parts.
    """
    upper, lower = multiplier >> 16, multiplier & 0xFFFF
    word_upper, word_lower = word >> jnp.uint32(16), word & jnp.uint32(0xFFFF)
    carried = (word_lower * jnp.uint32(lower)) >> jnp.uint32(16)
    middle = word_upper * jnp.uint32(lower) + carried
    if upper + lower <= 0xFFFF:
        above = (middle + word_lower * jnp.uint32(upper)) >> jnp.uint32(16)
    elif upper % 2 == 0:
        half = word_lower * jnp.uint32(upper // 2)
        above = ((middle >> jnp.uint32(1)) + half) >> jnp.uint32(15)
    else:
        other = word_lower * jnp.uint32(upper) + (middle & jnp.uint32(0xFFFF))
        above = (middle >> jnp.uint32(16)) + (other >> jnp.uint32(16))
    return word_upper * jnp.uint32(upper) + above, word * jnp.uint32(multiplier)


def philox4x32(
    counter: Words,
    key: tuple[jax.Array, jax.Array],
    multiply: Callable[[int, jax.Array], tuple[jax.Array, jax.Array]] = multiply_u64,
) -> Words:
    """words = Philox4x32-10(counter, key), element by element.

    Args:
        counter: four uint32 arrays that broadcast against each other.
        key: two uint32 arrays that broadcast against the counter.
        multiply: (high, low) words of a product, in the form that the compiler handles best. All
            forms give the same words.

    Returns:
        Four uint32 arrays.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        high0, low0 = multiply(PHILOX_M4x32_0, c0)
        high1, low1 = multiply(PHILOX_M4x32_1, c2)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = k0 + jnp.uint32(PHILOX_W32_0), k1 + jnp.uint32(PHILOX_W32_1)
    return c0, c1, c2, c3


def philox4x32_in_u64(counter: Words, key: tuple[jax.Array, jax.Array]) -> Words:
    """The same words, with each word kept in a 64-bit integer through all rounds.

    Faster on CPUs, where a vector of 32-bit words has to be unpacked for each product and packed
    after it. Only c0 and c2, which are multiplied, need upper halves of 0. Correct only under
    ``jax.enable_x64(True)``.
    """
    lower = jnp.uint64(0xFFFFFFFF)
    c0, c1, c2, c3 = (word.astype(jnp.uint64) for word in counter)
    k0, k1 = (word.astype(jnp.uint64) for word in key)
    for _ in range(ROUNDS):
        product0, product1 = c0 * jnp.uint64(PHILOX_M4x32_0), c2 * jnp.uint64(PHILOX_M4x32_1)
        c0 = ((product1 >> jnp.uint64(32)) ^ c1 ^ k0) & lower
        c2 = ((product0 >> jnp.uint64(32)) ^ c3 ^ k1) & lower
        c1, c3 = product1, product0
        k0, k1 = k0 + jnp.uint64(PHILOX_W32_0), k1 + jnp.uint64(PHILOX_W32_1)
    w0, w1, w2, w3 = (word.astype(jnp.uint32) for word in (c0, c1, c2, c3))
    return w0, w1, w2, w3


def philox4x32_in_halves(counter: Words, key: tuple[jax.Array, jax.Array]) -> Words:
    """The same words, from products of 16-bit halves.

    For TPUs, which have no 64-bit integers: XLA would emulate the additions as well.
    """
    return philox4x32(counter, key, multiply_halves)
