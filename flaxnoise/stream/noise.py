"""The noise of an element: a function of (key, index, kind) alone."""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp

from flaxnoise.stream import variates
from flaxnoise.stream.index import half_address, word_address
from flaxnoise.stream.philox import Words, philox4x32

Kind = Literal["bits", "keep", "normal", "masked_normal", "uniform", "unit_uniform", "laplace"]

# Third word of the counter, so that kinds of noise under one key never share a block.
DOMAIN_BITS = 0
DOMAIN_KEEP = 1
DOMAIN_NORMAL = 2
DOMAIN_UNIFORM = 3
DOMAIN_LAPLACE = 4


def block_words(key: Words, block_low: jax.Array, block_high: jax.Array, domain: int) -> Words:
    """Philox of (block low, block high, domain ^ k2, k3) under (k0, k1): the words of a block."""
    k0, k1, k2, k3 = key
    return philox4x32((block_low, block_high, k2 ^ jnp.uint32(domain), k3), (k0, k1))


def draw(
    kind: Kind, key: Words, low: jax.Array, high: jax.Array | None, threshold: jax.Array | None
) -> jax.Array:
    """n of the elements with linear index (low, high).

    Args:
        kind: which noise.
        key: four uint32 arrays that broadcast against low.
        low: lower words of the indices.
        high: upper words, or None where all indices are below 2^32.
        threshold: uint32, broadcasts against low; for the kinds that drop.

    Returns:
        bool for "keep", uint32 for "bits", else float32.
    """
    return _KINDS[kind](key, low, high, threshold)


def _bits(key: Words, low: jax.Array, high: jax.Array | None, threshold: None) -> jax.Array:
    return _word(key, low, high, DOMAIN_BITS)


def _keep(key: Words, low: jax.Array, high: jax.Array | None, threshold: jax.Array) -> jax.Array:
    block_low, block_high, word, upper = half_address(low, high)
    w = _pick(block_words(key, block_low, block_high, DOMAIN_KEEP), word)
    swapped = (w << jnp.uint32(16)) | (w >> jnp.uint32(16))
    return variates.keep(jnp.where(upper, swapped, w), threshold)


def _normal(key: Words, low: jax.Array, high: jax.Array | None, threshold: None) -> jax.Array:
    block_low, block_high, word = word_address(low, high)
    w0, w1, w2, w3 = block_words(key, block_low, block_high, DOMAIN_NORMAL)
    second_pair = (word & jnp.uint32(2)) != jnp.uint32(0)
    odd = (word & jnp.uint32(1)) != jnp.uint32(0)
    return variates.normal(jnp.where(second_pair, w2, w0), jnp.where(second_pair, w3, w1), odd)


def _masked_normal(
    key: Words, low: jax.Array, high: jax.Array | None, threshold: jax.Array
) -> jax.Array:
    kept = _keep(key, low, high, threshold)
    return jnp.where(kept, jnp.float32(0), _normal(key, low, high, None))


def _uniform(key: Words, low: jax.Array, high: jax.Array | None, threshold: None) -> jax.Array:
    return variates.uniform(_word(key, low, high, DOMAIN_UNIFORM))


def _unit_uniform(key: Words, low: jax.Array, high: jax.Array | None, threshold: None) -> jax.Array:
    return variates.unit_uniform(_word(key, low, high, DOMAIN_UNIFORM))


def _laplace(key: Words, low: jax.Array, high: jax.Array | None, threshold: None) -> jax.Array:
    return variates.laplace(_word(key, low, high, DOMAIN_LAPLACE))


def _word(key: Words, low: jax.Array, high: jax.Array | None, domain: int) -> jax.Array:
    block_low, block_high, word = word_address(low, high)
    return _pick(block_words(key, block_low, block_high, domain), word)


def _pick(words: Words, word: jax.Array) -> jax.Array:
    """Selects words[word]; a chain of selects, since no backend gathers as cheaply."""
    odd = (word & jnp.uint32(1)) != jnp.uint32(0)
    second_pair = (word & jnp.uint32(2)) != jnp.uint32(0)
    w0, w1, w2, w3 = words
    return jnp.where(second_pair, jnp.where(odd, w3, w2), jnp.where(odd, w1, w0))


_KINDS: dict[Kind, Callable[..., jax.Array]] = {
    "bits": _bits,
    "keep": _keep,
    "normal": _normal,
    "masked_normal": _masked_normal,
    "uniform": _uniform,
    "unit_uniform": _unit_uniform,
    "laplace": _laplace,
}
