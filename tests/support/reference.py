"""The stream in NumPy, written for clarity: the noise of the element with linear index i.

Every function takes the key as four words (``key_words``) and an array of uint64 linear indices.
Thresholds are exact fractions, normals float64; nothing is imported from the library.
"""

import math
from fractions import Fraction

import jax
import numpy as np
from numpy.typing import ArrayLike, NDArray

U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]
Key = tuple[int, int, int, int]

BITS, KEEP, NORMAL, UNIFORM, LAPLACE, UNIT_UNIFORM = range(6)
MASK32 = np.uint64(0xFFFFFFFF)


def philox4x32(counter: tuple[ArrayLike, ...], key: tuple[int, int]) -> list[U64]:
    """Computes four words, as uint64, by Philox4x32-10 (Salmon et al., SC 2011)."""
    c0, c1, c2, c3 = (np.asarray(word, np.uint64) for word in counter)
    k0, k1 = key
    for _ in range(10):
        product0, product1 = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57)
        c0, c1, c2, c3 = (
            (product1 >> np.uint64(32)) ^ c1 ^ np.uint64(k0),
            product1 & MASK32,
            (product0 >> np.uint64(32)) ^ c3 ^ np.uint64(k1),
            product0 & MASK32,
        )
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return [c0, c1, c2, c3]


def key_words(key: jax.Array) -> Key:
    """Returns the words of a key, typed or raw, padded with zeros to four."""
    data = key if key.dtype == np.uint32 else jax.random.key_data(key)
    k0, k1, k2, k3 = [int(word) for word in data] + [0] * (4 - len(data))
    return k0, k1, k2, k3


def block_words(key: Key, block: U64, domain: int) -> list[U32]:
    k0, k1, k2, k3 = key
    counter = (block & MASK32, block >> np.uint64(32), domain << 24 ^ k2, k3)
    return [word.astype(np.uint32) for word in philox4x32(counter, (k0, k1))]


def words(key: Key, i: U64, domain: int) -> U32:
    """Returns the word of each element, for kinds of 32 bits."""
    i = np.asarray(i, np.uint64)
    return np.choose((i % 4).astype(np.int64), block_words(key, i // 4, domain))


def bits(key: Key, i: U64) -> U32:
    return words(key, i, BITS)


def halves(key: Key, i: U64) -> U32:
    """Returns u of each element, for kinds of 16 bits: its own bits above its partner's."""
    i = np.asarray(i, np.uint64)
    chunk, j = i // 1024, i % 1024
    w = np.choose((j % 4).astype(np.int64), block_words(key, chunk * 128 + j % 512 // 4, KEEP))
    return np.where(j < 512, w, w << np.uint32(16) | w >> np.uint32(16))


def threshold(rate: float) -> int:
    """Returns T in 0 … 2^31, by exact arithmetic on the rate rounded to float32."""
    exact = Fraction(float(np.float32(rate)))
    if exact in (0, 1):
        return int(exact) << 31
    coarse = math.floor(exact * 2**16 + Fraction(1, 2))
    if abs(Fraction(coarse, 2**16) - exact) <= min(exact, 1 - exact) / 128:
        nearest = coarse << 15
    else:
        nearest = math.floor(exact * 2**31 + Fraction(1, 2))
    return min(max(nearest, 1), 2**31 - 1)


def keep(key: Key, i: U64, rate: float) -> NDArray[np.bool_]:
    return halves(key, i) >> np.uint32(1) >= threshold(rate)


def uniform(key: Key, i: U64) -> NDArray[np.float32]:
    """Uniform on the open interval (−1, 1); exact in float32, though computed in float64."""
    upper = words(key, i, UNIFORM).view(np.int32) >> 8
    return ((upper + 0.5) * 2.0**-23).astype(np.float32)


def unit_uniform(key: Key, i: U64) -> NDArray[np.float32]:
    """Uniform on the open interval (0, 1)."""
    return (((words(key, i, UNIT_UNIFORM) >> np.uint32(9)) + 0.5) * 2.0**-23).astype(np.float32)


def radius_uniform(a: U32) -> NDArray[np.float32]:
    """Returns u in (0, 1) from the upper 31 bits, rounded to float32."""
    v = (a >> np.uint32(1)).astype(np.float32)
    return np.minimum((v + np.float32(0.5)) * np.float32(2.0**-31), np.float32(1 - 2.0**-24))


def laplace(key: Key, i: U64) -> NDArray[np.float64]:
    """∓ln u in float64, from u in float32; density exp(−|n|)/2."""
    w = words(key, i, LAPLACE)
    sign = np.where(w & np.uint32(1), -1, 1)
    return -np.log(radius_uniform(w).astype(np.float64)) * sign


def normal_pair(a: U32, b: U32) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two normals from two words (Box and Muller 1958) in float64, from u and t in float32."""
    u = radius_uniform(a)
    angle = np.pi / 4 * ((b.view(np.int32) >> 9) + 0.5) * 2.0**-22
    radius = np.sqrt(-2 * np.log(u.astype(np.float64))) * np.where(b & np.uint32(1), -1, 1)
    swap = (b & np.uint32(2)) != 0
    cos, sin = radius * np.cos(angle), radius * np.sin(angle)
    return np.where(swap, sin, cos), np.where(swap, cos, sin)


def normal(key: Key, i: U64) -> NDArray[np.float64]:
    i = np.asarray(i, np.uint64)
    w0, w1, w2, w3 = block_words(key, i // 4, NORMAL)
    normals = [*normal_pair(w0, w1), *normal_pair(w2, w3)]
    return np.choose((i % 4).astype(np.int64), normals)


def masked_normal(key: Key, i: U64, rate: float) -> NDArray[np.float64]:
    """A normal where the mask of the same key and rate drops, else 0."""
    return np.where(keep(key, i, rate), 0.0, normal(key, i))
