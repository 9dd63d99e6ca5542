"""Keys of flaxnoise.random.key in NumPy: derivations, and bits of every width."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

import reference

SEED, SPLIT, FOLD_IN = 6, 7, 8
U32 = NDArray[np.uint32]


def blocks(key: reference.Key, domain: int, numbers: ArrayLike) -> U32:
    """Returns the blocks of these numbers in a domain, uint32[..., 4]."""
    k0, k1, k2, k3 = key
    moved = (k0, k1, k2 ^ domain << 24, k3)
    words = reference.block_words(moved, np.asarray(numbers, np.uint64), reference.BITS)
    return np.stack(words, axis=-1)


def of_seed(seed: int) -> U32:
    low, high = seed % 2**32, (seed >> 32) % 2**32
    return blocks((0, 0, 0, high), SEED, low)


def split(key: reference.Key, numbers: ArrayLike) -> U32:
    """Returns the children with these numbers."""
    return blocks(key, SPLIT, numbers)


def fold_in(key: reference.Key, data: ArrayLike) -> U32:
    return blocks(key, FOLD_IN, np.asarray(data).astype(np.uint32))


def bits(key: reference.Key, bit_width: int, size: int) -> NDArray:
    """Returns the first elements of a width: the bytes of the words, lowest byte first."""
    words = reference.bits(key, np.arange(-(-size * bit_width // 32), dtype=np.uint64))
    return words.astype("<u4").view(f"<u{bit_width // 8}")[:size]
