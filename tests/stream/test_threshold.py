"""The integer threshold of a rate is exact, and so is the rate that it realises."""

import jax
import numpy as np

import reference
from every import every
from flaxnoise import random
from flaxnoise.stream.threshold import threshold

RATES = [0, 1, 2**-16, 1 - 2**-16, 2**-31, 1e-40, 0.1, 0.3, 0.5, 0.9, 0.999, 0.9995, 1 - 2**-24]


def sweep() -> np.ndarray:
    """Returns rates of every magnitude, on and on both sides of the 16-bit steps."""
    rng = np.random.default_rng(2)
    any_size = rng.integers(1, 0x3F800000, 4000, np.uint32).view(np.float32)
    steps = (rng.integers(0, 2**16, 1000) / 2**16).astype(np.float32)
    halfway = ((rng.integers(0, 2**16, 1000) + 0.5) / 2**16).astype(np.float32)
    coarse_ends = np.float32(64.5 / 2**16) * (1 + np.arange(-200, 200, dtype=np.float32) * 2**-10)
    near = np.concatenate([steps, halfway, coarse_ends, 1 - coarse_ends])
    neighbours = [np.nextafter(near, np.float32(end)) for end in (0, 1)]
    rates = np.concatenate([np.float32(RATES), any_size, near, *neighbours])
    return rates[(rates >= 0) & (rates <= 1)]


def test_threshold_is_the_exact_one_for_every_size_of_rate():
    rates = sweep()
    expected = [reference.threshold(float(rate)) for rate in rates]
    assert np.asarray(threshold(rates)).tolist() == expected


@every("rate", RATES)
def test_traced_rate_has_the_threshold_of_a_static_one(rate):
    assert int(jax.jit(threshold)(rate)) == int(threshold(rate)) == reference.threshold(rate)


@every("rate", RATES)
def test_realised_rate_is_the_threshold_in_float32(rate):
    expected = np.float32(reference.threshold(rate) / 2**31)
    assert np.float32(random.realised_rate(rate)) == expected


def test_realised_rate_is_within_1_in_128():
    rates = sweep().astype(np.float64)
    rates = rates[(rates > 2**-24) & (rates < 1 - 2**-24)]
    realised = np.array([reference.threshold(float(rate)) / 2**31 for rate in rates])
    assert np.all(np.abs(realised - rates) <= np.minimum(rates, 1 - rates) / 128)


def test_only_rate_0_keeps_all_and_only_rate_1_drops_all():
    rates = sweep()
    thresholds = np.asarray(threshold(rates))
    np.testing.assert_array_equal(thresholds == 0, rates == 0)
    np.testing.assert_array_equal(thresholds == 1 << 31, rates == 1)


@every(("rate", "counted_as"), [(-0.5, 0), (1.5, 1 << 31), (np.nan, 1 << 31)])
def test_unchecked_rates_count_as_the_nearest_end(rate, counted_as):
    assert int(jax.jit(threshold)(rate)) == counted_as
