"""DropBlock drops whole blocks and the promised share; its mean is x at every position."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flaxnoise
from cases import KEY, array
from closeness import assert_same_bits, assert_within_ulps
from every import every
from flaxnoise import random, testing
from flaxnoise.functional.block import hit_rate
from scores import LIMIT

FUNCTIONS = {1: flaxnoise.drop_block_1d, 2: flaxnoise.drop_block_2d, 3: flaxnoise.drop_block_3d}
MAPS = {1: (17,), 2: (7, 9), 3: (5, 4, 6)}
every_rank = every("space", FUNCTIONS)


def reference(key, x, rate, sides):
    """Computes DropBlock block by block in float64; each seed position drops its block."""
    space = len(sides)
    maps = x.shape[-1 - space : -1]
    valid = tuple(m - s + 1 for m, s in zip(maps, sides, strict=True))
    covered = np.zeros(maps)
    for place in itertools.product(*map(range, valid)):
        covered[tuple(slice(p, p + s) for p, s in zip(place, sides, strict=True))] += 1
    gamma = 1 - (1 - rate) ** (1 / covered.mean())
    hit = ~np.asarray(
        random.keep_mask(key, (*x.shape[: -1 - space], *valid, x.shape[-1]), jnp.float32(gamma))
    )
    keep = np.ones(x.shape)
    for index in np.argwhere(hit):
        batch, place, feature = index[: -1 - space], index[-1 - space : -1], index[-1]
        block = [slice(p, p + s) for p, s in zip(place, sides, strict=True)]
        keep[(*batch, *block, feature)] = 0
    realised = float(random.realised_rate(jnp.float32(gamma)))
    return np.asarray(x, np.float64) * keep / ((1 - realised) ** covered)[..., None]


@every_rank
def test_blocks_are_those_of_the_reference(space: int):
    x = array(2, *MAPS[space], 5)
    y = FUNCTIONS[space](KEY, x, 0.3, block_size=3)
    expected = reference(KEY, x, 0.3, (3,) * space)
    assert 0.1 < (expected == 0).mean() < 0.5
    # A power up to 27 of a float32 number; γ itself may differ by a few ulps.
    np.testing.assert_array_equal(y == 0, expected == 0)
    assert_within_ulps(y, jnp.asarray(expected, jnp.float32), y, ulps=64)


def test_each_dimension_may_have_its_own_side():
    x = array(2, 7, 9, 5)
    y = flaxnoise.drop_block_2d(KEY, x, 0.3, block_size=(1, 4))
    np.testing.assert_array_equal(y == 0, reference(KEY, x, 0.3, (1, 4)) == 0)


@every_rank
def test_ends_are_exact_whatever_x_is(space: int):
    odd = jnp.array([jnp.nan, jnp.inf, -0.0, 1e-45, 3.0], jnp.float32)
    x = jnp.resize(odd, (2, *MAPS[space], 5))
    for rate in (0.0, 1.0):
        expected = x if rate == 0 else jnp.zeros_like(x)
        assert_same_bits(FUNCTIONS[space](KEY, x, rate, block_size=3), expected)
        traced = jax.jit(lambda rate, x=x: FUNCTIONS[space](KEY, x, rate, block_size=3))
        assert_same_bits(traced(rate), expected)
    gradient = jax.grad(lambda x: FUNCTIONS[space](KEY, x, 1.0, block_size=3).sum())(x)
    assert_same_bits(gradient, jnp.zeros_like(x))


def test_block_as_large_as_the_map_drops_whole_maps():
    x = jnp.ones((64, 5, 6, 33))
    y = flaxnoise.drop_block_2d(KEY, x, 0.3, block_size=9)
    assert_same_bits(y, jnp.broadcast_to(y[:, :1, :1], x.shape))
    keep = random.keep_mask(KEY, (64, 1, 1, 33), 0.3)
    np.testing.assert_array_equal(y == 0, jnp.broadcast_to(~keep, x.shape))
    kept = 1 / (1 - float(random.realised_rate(0.3)))
    assert_within_ulps(y[y != 0], jnp.full_like(y[y != 0], kept), kept, ulps=4)


def test_block_of_one_is_dropout():
    x = array(3, 17, 5)
    y = flaxnoise.drop_block_1d(KEY, x, 0.3, block_size=1)
    np.testing.assert_array_equal(y == 0, flaxnoise.dropout(KEY, x, 0.3) == 0)


@every("rate", [0.1, 0.5, 0.9])
def test_mean_is_x_at_every_position_and_the_paper_s_scale_is_not(rate: float):
    draws = 20000
    x = jnp.ones((draws, 9, 1))
    y = np.asarray(flaxnoise.drop_block_1d(KEY, x, rate, block_size=4))[..., 0]
    kept = (y != 0).mean(0)
    largest = y.max(0)
    deviation = np.sqrt((largest - 1) / draws)  # of the mean of a scaled Bernoulli variable
    assert (np.abs(y.mean(0) - 1) / deviation).max() < LIMIT
    # Planted: the paper's single scale for the whole map is wrong both at the border and inside.
    uniform = (y != 0) / (y != 0).mean()
    assert (np.abs(uniform.mean(0) - 1) / deviation).max() > 2 * LIMIT
    assert kept[0] > kept[4]


@every("exponent", [1.0, 0.2, 1 / 49])
def test_gamma_is_a_probability_and_the_paper_s_to_first_order(exponent: float):
    rates = jnp.linspace(0, 1, 1001)
    gamma = np.asarray(hit_rate(rates, exponent))
    assert gamma[0] == 0
    assert gamma[-1] == 1
    assert (np.diff(gamma) > 0).all()
    small = np.asarray(hit_rate(jnp.float32(1e-4), exponent))
    assert abs(small / (1e-4 * exponent) - 1) < 1e-4


def test_gradient_is_the_mask_and_keeps_none():
    x, dy = array(2, 7, 9, 5), array(2, 7, 9, 5, seed=1)

    def call(key, x, rate):
        return flaxnoise.drop_block_2d(key, x, rate, block_size=3)

    factor = call(KEY, jnp.ones_like(x), 0.3)
    gradient = jax.vjp(lambda x: call(KEY, x, 0.3), x)[1](dy)[0]
    assert_within_ulps(gradient, factor * dy, gradient, ulps=2)
    testing.assert_no_noise_residuals(call, KEY, x, 0.3)
    assert jax.grad(lambda rate: call(KEY, x, rate).sum())(0.3) == 0


def test_vmap_over_keys_equals_the_loop():
    keys, xs = jax.random.split(KEY, 3), array(3, 7, 9, 5)

    def call(key, x):
        return flaxnoise.drop_block_2d(key, x, 0.3, block_size=3)

    loop = jnp.stack([call(key, x) for key, x in zip(keys, xs, strict=True)])
    assert_same_bits(jax.vmap(call)(keys, xs), loop)


def test_mistakes_are_named():
    x = array(2, 7, 9, 5)
    with pytest.raises(ValueError, match=r"drop_block_2d: block_size must be at least 1, got 0"):
        flaxnoise.drop_block_2d(KEY, x, 0.3, block_size=0)
    with pytest.raises(ValueError, match=r"drop_block_2d: block_size must be one integer or 2"):
        flaxnoise.drop_block_2d(KEY, x, 0.3, block_size=(3,))
    with pytest.raises(TypeError, match=r"drop_block_2d: block_size must be an integer, got 1.5"):
        flaxnoise.drop_block_2d(KEY, x, 0.3, block_size=1.5)
    with pytest.raises(ValueError, match=r"drop_block_3d: x must have at least 4 dimensions"):
        flaxnoise.drop_block_3d(KEY, x[0], 0.3)
    with pytest.raises(ValueError, match=r"drop_block_2d: rate must be in \[0, 1\], got 1.5"):
        flaxnoise.drop_block_2d(KEY, x, 1.5)
