"""Consecutive keys, children of a key, and trees and chains of children draw independent words."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

import key_reference
import reference
import scores
from every import every
from flaxnoise import random
from scores import LIMIT

KEY = random.key(8)
ROWS, COLUMNS = 1024, 2048
COUNT = 1 << 18
NUMBERS = jnp.arange(ROWS)


def folded(key: jax.Array, numbers: jax.Array) -> jax.Array:
    return jax.vmap(lambda n: jax.random.fold_in(key, n))(numbers)


def chain(key: jax.Array) -> jax.Array:
    """Returns a key, its first child, the first child of that, and so on."""
    return jax.lax.scan(lambda k, _: (jax.random.split(k, 2)[0], k), key, length=ROWS)[1]


def distant_seeds() -> jax.Array:
    with jax.enable_x64(True):
        return jax.vmap(random.key)(jnp.arange(ROWS) << 32)


FAMILIES = {
    "seeds": lambda: jax.vmap(random.key)(NUMBERS),
    "seeds 2^32 apart": distant_seeds,
    "split": lambda: jax.random.split(KEY, ROWS),
    "fold_in": lambda: folded(KEY, NUMBERS),
    "fold_in of distant numbers": lambda: folded(KEY, NUMBERS.astype(jnp.uint32) << 22),
    "tree of splits": lambda: jax.vmap(lambda k: jax.random.split(k, 32))(
        jax.random.split(KEY, 32)
    ).reshape(-1),
    "tree of fold_in": lambda: jax.vmap(lambda k: folded(k, NUMBERS[:32]))(
        folded(KEY, NUMBERS[:32])
    ).reshape(-1),
    "chain of splits": lambda: chain(KEY),
}


def standardised(words: NDArray) -> NDArray[np.float32]:
    """Scales uniform integers of any width to mean 0 and variance 1."""
    scale = 2.0 ** -(8 * words.dtype.itemsize)
    return (np.sqrt(12) * (words * scale - 0.5)).astype(np.float32)


def family_score(rows: NDArray[np.float32]) -> float:
    """Scores a row per key: correlations of rows, correlations when interleaved, and sums."""
    return max(
        scores.row_correlations(rows),
        scores.lag_correlations(rows.T.ravel()),
        scores.dispersion(rows.sum(axis=0), len(rows)),
    )


def byte_score(words: NDArray) -> float:
    """Scores the 256 values of each byte of the words."""
    columns = np.ascontiguousarray(words).view(np.uint8).reshape(len(words), -1)
    counts = [np.bincount(column, minlength=256) for column in columns.T]
    return max(scores.chi_square(count, 1 / 256) for count in counts)


@functools.cache
def words_of(family: str) -> NDArray[np.uint32]:
    draw = jax.jit(jax.vmap(lambda key: jax.random.bits(key, (COLUMNS,))))
    return np.asarray(draw(FAMILIES[family]()))


@every("family", FAMILIES)
def test_words_of_related_keys_are_independent(family: str):
    words = words_of(family)
    assert family_score(standardised(words)) < LIMIT
    assert byte_score(words.reshape(-1)) < LIMIT


def test_keys_that_share_words_are_seen():
    rows = standardised(words_of("split")).copy()
    rows[700] = rows[3]
    assert family_score(rows) > LIMIT


def test_a_child_that_is_its_parent_further_on_is_seen():
    """Planted: child i draws the parent's words starting at number i."""
    words = np.asarray(jax.random.bits(KEY, (ROWS + COLUMNS - 1,)))
    rows = np.lib.stride_tricks.sliding_window_view(standardised(words), COLUMNS)
    assert family_score(rows) > LIMIT


@functools.cache
def children(way: str) -> NDArray[np.uint32]:
    """Returns the words of 2^18 keys, uint32[2^18, 4]."""
    numbers = jnp.arange(COUNT)
    keys = {
        "seeds": lambda: jax.vmap(random.key)(numbers),
        "split": lambda: jax.random.split(KEY, COUNT),
        "fold_in": lambda: folded(KEY, numbers),
    }[way]()
    return np.asarray(jax.random.key_data(keys))


def key_score(words: NDArray[np.uint32]) -> float:
    """Scores the words of consecutive children as random numbers."""
    return max(byte_score(words), scores.lag_correlations(standardised(words).ravel()))


@every("way", ["seeds", "split", "fold_in"])
def test_the_words_of_consecutive_children_are_random(way: str):
    assert key_score(children(way)) < LIMIT


def test_children_that_lack_a_bit_are_seen():
    assert key_score(children("split") & np.uint32(0xFFFFFFFE)) > LIMIT


def test_children_that_follow_one_another_are_seen():
    """Planted: the number is added to the parent's last word."""
    words = children("split").copy()
    words[:, 3] = words[0, 3] + np.arange(COUNT, dtype=np.uint32)
    assert key_score(words) > LIMIT


def correlation_with_parent(words: NDArray[np.uint32]) -> float:
    parent = np.asarray(jax.random.bits(KEY, (words.size,)))
    return scores.lag_correlations(standardised(parent), standardised(words).ravel())


@every("way", ["split", "fold_in"])
def test_the_words_of_children_and_their_own_are_none_of_the_parent(way: str):
    assert correlation_with_parent(words_of(way)) < LIMIT
    assert correlation_with_parent(children(way)) < LIMIT


def test_children_out_of_the_parents_own_words_are_seen():
    """Planted: split draws in the domain of the words."""
    key = reference.key_words(KEY)
    derived = key_reference.blocks(key, reference.BITS, np.arange(COUNT))
    assert correlation_with_parent(derived) > LIMIT


def flips(way: str) -> NDArray[np.int64]:
    """Counts how often each of the 128 bits of a key flips with one bit of a seed or of data."""
    seeds = np.arange(512, dtype=np.int64) * 0x9E3779B9 % (1 << 31)
    flipped = seeds[:, None] ^ (1 << np.arange(31))
    make = random.key if way == "seeds" else lambda n: jax.random.fold_in(KEY, n)
    keys = jax.vmap(make)(jnp.asarray(np.concatenate([seeds, flipped.ravel()]), jnp.int32))
    words = np.asarray(jax.random.key_data(keys))
    changed = words[512:].reshape(512, 31, 4) ^ words[:512, None]
    return np.unpackbits(changed.view(np.uint8), axis=-1).sum(axis=(0, 1))


@every("way", ["seeds", "fold_in"])
def test_one_bit_of_the_number_changes_half_of_the_key(way: str):
    draws = 512 * 31
    assert scores.largest_sum(flips(way) - draws / 2, draws / 4) < LIMIT


@every("dtype", ["uint8", "uint16", "uint64"])
def test_elements_of_other_widths_are_uniform_and_independent(dtype: str):
    with jax.enable_x64(dtype == "uint64"):
        drawn = np.asarray(jax.random.bits(KEY, (1023, 1027), dtype)).ravel()
    assert byte_score(drawn) < LIMIT
    assert scores.lag_correlations(standardised(drawn)) < LIMIT


@every("dtype", ["uint8", "uint16", "uint64"])
def test_elements_that_share_bits_are_seen(dtype: str):
    """Planted: two neighbours use the same bits of a word."""
    with jax.enable_x64(dtype == "uint64"):
        drawn = np.asarray(jax.random.bits(KEY, (1 << 20,), dtype)).copy()
    drawn[1::2] = drawn[::2]
    assert scores.lag_correlations(standardised(drawn)) > LIMIT
