"""Kinds of noise and derivations of keys never share a block."""

import jax
import jax.numpy as jnp
import numpy as np

import reference
from cases import KEY
from flaxnoise import random
from flaxnoise.arguments import key_words
from flaxnoise.stream.kinds import DOMAINS, KINDS
from flaxnoise.stream.noise import block_words


def test_each_purpose_has_a_domain_of_its_own():
    assert len(set(DOMAINS.values())) == len(DOMAINS)
    assert max(DOMAINS.values()) < 256  # a byte
    used = [row.domain for row in KINDS.values() if row.name in DOMAINS]
    assert sorted(used) == sorted(set(DOMAINS.values()) - {6, 7, 8})


def test_keys_whose_third_words_differ_little_share_no_block_between_kinds():
    blocks = np.arange(64, dtype=np.uint64)
    seen: dict[bytes, tuple[int, int]] = {}
    for word in range(64):
        for domain in DOMAINS.values():
            words = np.stack(reference.block_words((1, 2, word, 3), blocks, domain))
            assert seen.setdefault(words.tobytes(), (word, domain)) == (word, domain)
    shared = reference.block_words((1, 2, 1 << 24, 3), blocks, DOMAINS["bits"])  # planted
    assert np.stack(shared).tobytes() in seen


def test_single_blocks_are_the_references_in_any_program():
    """Under jit, vmap and in 32-bit mode, as key derivations draw them."""
    key, numbers = (
        key_words(jax.random.key(5, impl="threefry4x32")),
        jnp.arange(5, dtype=jnp.uint32),
    )

    def words(number: jax.Array) -> jax.Array:
        zero = jnp.zeros_like(number)
        return jnp.stack(block_words(tuple(key), number, zero, DOMAINS["split"]), -1)

    expected = reference.block_words(
        tuple(int(word) for word in key), np.arange(5, dtype=np.uint64), DOMAINS["split"]
    )
    for found in (words(numbers), jax.jit(words)(numbers), jax.jit(jax.vmap(words))(numbers)):
        assert found.dtype == jnp.uint32
        np.testing.assert_array_equal(found, np.stack(expected, -1))


def test_uniforms_on_the_two_intervals_read_different_words():
    n, u = random.signed_uniform(KEY, (4096,)), random.uniform(KEY, (4096,))
    assert abs(np.corrcoef(n, u)[0, 1]) < 6 / 64
    folded = jnp.where(n < 0, n + 1, n)  # what they shared: the lower bits of one word
    assert abs(np.corrcoef(folded, u)[0, 1]) < 6 / 64
