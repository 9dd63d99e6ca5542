"""The elements of a mask are dropped independently, each at the realised rate."""

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

import scores
from every import every
from flaxnoise import random
from scores import LIMIT

KEY = jax.random.key(20240)
ROWS = (1024, 4096)
CHUNK = (
    -1,
    2,
    128,
    4,
)  # the two elements of a word are 512 apart, the four words of a block adjacent


def mask(shape: int | tuple[int, ...], rate: float) -> NDArray[np.bool_]:
    return np.asarray(random.keep_mask(KEY, shape, rate))


def standardised(kept: NDArray[np.bool_], rate: float) -> NDArray[np.float32]:
    keep = 1 - float(random.realised_rate(rate))
    return (kept - np.float32(keep)) / np.float32(np.sqrt(keep * (1 - keep)))


def wrapped(kept: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Planted: the counter of blocks, each of eight elements, starts again after 2^16."""
    return np.resize(kept.reshape(-1)[: 8 << 16], kept.shape)


def drop_count(kept: NDArray[np.bool_], rate: float) -> float:
    return scores.count(int((~kept).sum()), kept.size, float(random.realised_rate(rate)))


@every("rate", [0.1, 0.5, 0.9, 2**-16, 1 - 2**-16, 2**-18])
def test_as_many_elements_are_dropped_as_the_realised_rate_says(rate):
    assert drop_count(mask(1 << 24, rate), rate) < LIMIT


def test_a_threshold_off_by_one_is_seen():
    """Upper 16 bits > T instead of ≥ T: at the rate 2^-16 twice as many are dropped."""
    upper = np.asarray(random.bits(KEY, 1 << 24)) >> 16
    assert drop_count(upper >= 1, 2**-16) < LIMIT < drop_count(upper > 1, 2**-16)


def block_patterns(kept: NDArray[np.bool_], rate: float) -> float:
    """Returns the χ² score of the 256 patterns of the eight elements of a block."""
    lanes = kept.reshape(CHUNK).transpose(0, 2, 1, 3).reshape(-1, 8)
    keep = 1 - float(random.realised_rate(rate))
    kept_lanes = np.bitwise_count(np.arange(256, dtype=np.uint8))
    probabilities = keep**kept_lanes * (1 - keep) ** (8.0 - kept_lanes)
    return scores.chi_square(np.bincount(np.packbits(lanes), minlength=256), probabilities)


@every("rate", [0.5, 0.3])
def test_the_eight_elements_of_a_block_are_independent(rate):
    assert block_patterns(mask(1 << 22, rate), rate) < LIMIT


def test_one_half_of_a_word_in_two_lanes_is_seen():
    kept = mask(1 << 22, 0.5).reshape(CHUNK)
    assert block_patterns(np.stack([kept[:, 0], kept[:, 0]], axis=1), 0.5) > LIMIT


def sums_dispersion(rows: NDArray[np.float32]) -> float:
    return max(scores.dispersion(rows.sum(axis), rows.shape[axis]) for axis in (0, 1))


def test_sums_of_rows_and_columns_vary_as_they_should():
    assert sums_dispersion(standardised(mask(ROWS, 0.1), 0.1)) < LIMIT


def test_two_rows_with_one_mask_are_seen():
    kept = np.repeat(mask(ROWS, 0.1)[::2], 2, axis=0)
    assert sums_dispersion(standardised(kept, 0.1)) > LIMIT


def test_no_two_rows_are_correlated():
    assert scores.row_correlations(standardised(mask(ROWS, 0.3), 0.3)) < LIMIT


def test_a_wrapped_counter_is_seen_between_rows():
    assert scores.row_correlations(standardised(wrapped(mask(ROWS, 0.3)), 0.3)) > LIMIT


@every("rate", [0.1, 0.5])
def test_a_mask_is_not_correlated_with_itself_at_any_lag(rate):
    assert scores.lag_correlations(standardised(mask(1 << 22, rate), rate)) < LIMIT


def test_a_wrapped_counter_is_seen_at_its_lag():
    assert scores.lag_correlations(standardised(wrapped(mask(1 << 22, 0.5)), 0.5)) > LIMIT


def position_counts(masks: NDArray[np.bool_], rate: float) -> float:
    """Scores the position that is kept too often or too rarely over many keys."""
    return scores.largest_sum(standardised(masks, rate).sum(axis=0), masks.shape[0])


def masks_of_a_ragged_shape(rate: float) -> NDArray[np.bool_]:
    keys = jax.vmap(jax.random.key)(jnp.arange(1024))
    return np.asarray(jax.vmap(lambda key: random.keep_mask(key, 1024 + 17, rate))(keys))


def test_every_position_is_dropped_equally_often():
    assert position_counts(masks_of_a_ragged_shape(0.1), 0.1) < LIMIT


def test_a_tail_that_is_always_kept_is_seen():
    masks = masks_of_a_ragged_shape(0.1) | (np.arange(1024 + 17) >= 1040)
    assert position_counts(masks, 0.1) > LIMIT
