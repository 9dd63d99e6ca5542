"""Different keys, and different kinds of noise under one key, are independent."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

import reference
import scores
from every import every
from flaxnoise import random
from scores import LIMIT

KEY = jax.random.key(31)
SIZE = 1 << 22
RATE = 0.5
CONSECUTIVE = 1024


def signs(key: jax.Array) -> NDArray[np.float32]:
    """Returns a mask at rate ½ as ±1, which has mean 0 and variance 1."""
    return 2 * np.asarray(random.keep_mask(key, SIZE, RATE), np.float32) - 1


def key_used_as_offset(noise: NDArray) -> NDArray:
    """Planted: each key's noise is that of the previous key, shifted by one element."""
    return np.roll(noise, -1)


@every(
    ("first", "second"),
    [
        (jax.random.fold_in(KEY, 0), jax.random.fold_in(KEY, 1)),
        (jax.random.key(7), jax.random.key(8)),
        (jax.random.key(7, impl="rbg"), jax.random.key(8, impl="rbg")),
        (jnp.uint32([7, 0, 0, 0]), jnp.uint32([7, 0, 1, 0])),
        (jnp.uint32([7, 0, 0, 0]), jnp.uint32([7, 0, 0, 1])),
    ],
    ids=["fold_in", "seed", "rbg", "word 2", "word 3"],
)
def test_masks_of_neighbouring_keys_are_not_correlated_at_any_lag(first, second):
    assert scores.lag_correlations(signs(first), signs(second)) < LIMIT


def test_a_key_used_as_offset_is_seen_between_two_keys():
    first = signs(KEY)
    assert scores.lag_correlations(first, key_used_as_offset(first)) > LIMIT


@functools.cache
def masks_of_consecutive_keys() -> NDArray[np.float32]:
    """Returns ±1, a row for each of 1024 consecutive keys."""
    keys = jax.vmap(jax.random.key)(jnp.arange(CONSECUTIVE))
    mask = jax.vmap(lambda key: random.keep_mask(key, SIZE // CONSECUTIVE, RATE))(keys)
    return 2 * np.asarray(mask, np.float32) - 1


def interleaved(rows: NDArray) -> float:
    """Scores correlations at all lags of the sequence that takes one element per key in turn."""
    return scores.lag_correlations(rows.T.ravel())


def test_consecutive_keys_are_independent():
    rows = masks_of_consecutive_keys()
    assert interleaved(rows) < LIMIT
    assert scores.row_correlations(rows) < LIMIT
    assert scores.dispersion(rows.sum(axis=0), CONSECUTIVE) < LIMIT


def test_a_key_used_as_offset_is_seen_among_consecutive_keys():
    noise = masks_of_consecutive_keys().ravel()[: CONSECUTIVE + SIZE // CONSECUTIVE - 1]
    rows = np.lib.stride_tricks.sliding_window_view(noise, SIZE // CONSECUTIVE)
    assert interleaved(rows) > LIMIT


def test_two_keys_with_one_mask_are_seen_among_consecutive_keys():
    rows = masks_of_consecutive_keys().copy()
    rows[700] = rows[3]
    assert scores.row_correlations(rows) > LIMIT


def size_and_square(normals: NDArray) -> list[NDArray]:
    """Returns normals and their squares, both scaled to mean 0 and variance 1."""
    return [normals, (normals**2 - 1) / np.sqrt(2)]


def test_kinds_of_noise_under_one_key_are_independent():
    normals = size_and_square(np.asarray(random.normal(KEY, SIZE)))
    uniforms = np.sqrt(12) * (np.asarray(random.uniform(KEY, SIZE)) - 0.5)
    words = np.sqrt(12) * (np.asarray(random.bits(KEY, SIZE)) * 2.0**-32 - 0.5)
    others = [*normals, uniforms, words]
    assert max(scores.lag_correlations(signs(KEY), other) for other in others) < LIMIT
    assert max(scores.lag_correlations(words, other) for other in [*normals, uniforms]) < LIMIT
    assert max(scores.lag_correlations(uniforms, other) for other in normals) < LIMIT


def test_one_domain_for_masks_and_normals_is_seen():
    words = np.asarray(random.bits(KEY, SIZE))
    kept = 2.0 * (words >> 1 >= reference.threshold(RATE)) - 1
    normals = np.stack(reference.normal_pair(words[::2], words[1::2]), axis=1).ravel()
    assert max(scores.lag_correlations(kept, n) for n in size_and_square(normals)) > LIMIT
