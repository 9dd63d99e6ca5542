"""Block and word of an element only depend on its 64-bit index."""

import jax
import jax.numpy as jnp
import numpy as np

import reference
from every import every
from flaxnoise.stream.index import half_address, word_address
from flaxnoise.stream.kinds import KINDS
from flaxnoise.stream.noise import draw

EDGES = [0, 1023, 2**31, 2**32, 2**33, 2**34, 2**35, 2**40, 2**62, 2**63, 2**64 - 2]
INDICES = [i + step for i in EDGES for step in range(-2, 2) if 0 <= i + step < 2**64]
RANDOM = np.random.default_rng(3).integers(0, 2**64, 3000, np.uint64)
KEY = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344)


def halves(indices) -> tuple[jax.Array, jax.Array]:
    indices = np.array(indices, np.uint64)
    low, high = (indices & 0xFFFFFFFF).astype(np.uint32), (indices >> 32).astype(np.uint32)
    return jnp.asarray(low), jnp.asarray(high)


def whole(low, high) -> list[int]:
    low, high = np.broadcast_arrays(np.asarray(low), np.asarray(high))
    return [int(a) + (int(b) << 32) for a, b in zip(low, high, strict=True)]


def test_four_consecutive_elements_share_a_block():
    low, high, word = word_address(*halves(INDICES))
    assert whole(low, high) == [i // 4 for i in INDICES]
    assert word.tolist() == [i % 4 for i in INDICES]


def test_elements_512_apart_share_a_word():
    low, high, word, upper = half_address(*halves(INDICES))
    assert whole(low, high) == [i // 1024 * 128 + i % 512 // 4 for i in INDICES]
    assert word.tolist() == [i % 4 for i in INDICES]
    assert upper.tolist() == [i % 1024 >= 512 for i in INDICES]


@every("address", [word_address, half_address])
def test_indices_below_2_32_need_no_upper_word(address):
    low, high = halves([i for i in INDICES if i < 2**32])
    for short, long in zip(address(low, None), address(low, high), strict=True):
        np.testing.assert_array_equal(np.broadcast_to(short, long.shape), long)


@every("kind", ["bits", "uniform", "unit_uniform", "keep"])
def test_noise_of_any_64_bit_index_is_the_references(kind):
    key = tuple(np.uint32(word) for word in KEY)
    rate = 0.3
    with jax.enable_x64(True):
        drawn = draw(KINDS[kind], key, *halves(RANDOM), jnp.uint32(reference.threshold(rate)))
    expected = getattr(reference, kind)(KEY, RANDOM, *[rate] * (kind == "keep"))
    np.testing.assert_array_equal(drawn, expected)


def test_blocks_are_not_reused_within_a_mask():
    """Each block of four words serves eight elements, each half of a word one of them."""
    i = np.arange(4096, dtype=np.uint32)
    block, _, word, upper = (np.asarray(part) for part in half_address(jnp.asarray(i), None))
    assert len({*zip(block.tolist(), word.tolist(), upper.tolist(), strict=True)}) == i.size
    assert block.max() == i.size // 8 - 1
