"""Stochastic depth drops and skips branches, and has the promised mean."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

import flaxnoise
from cases import KEY, array
from closeness import assert_same_bits
from every import every
from flaxnoise.functional.depth import rows_kept
from scores import LIMIT, count


@every("rate", [0.1, 0.5])
def test_drop_path_drops_whole_rows_at_the_rate(rate: float):
    rows = 1 << 16
    y = np.asarray(flaxnoise.drop_path(KEY, jnp.ones((rows, 3)), rate))
    dropped = (y == 0).all(axis=1)
    np.testing.assert_array_equal(dropped, (y == 0).any(axis=1))
    assert count(dropped.sum(), rows, float(flaxnoise.random.realised_rate(rate))) < LIMIT
    assert count(0, rows, rate) > LIMIT  # planted: never drops


def test_batch_mode_drops_all_or_nothing():
    keys = jax.random.split(KEY, 256)
    batch = jax.vmap(lambda key: flaxnoise.drop_path(key, jnp.ones((3, 2)), 0.5, mode="batch"))
    y = np.asarray(batch(keys)).reshape(256, 6)
    assert set(np.unique(y.sum(axis=1))) == {0.0, 12.0}
    assert count((y[:, 0] == 0).sum(), 256, 0.5) < LIMIT


def test_linear_rates_grow_from_0_to_the_rate():
    assert flaxnoise.linear_rates(0.3, 1) == [0.3]
    assert flaxnoise.linear_rates(0.5, 5) == [0.0, 0.125, 0.25, 0.375, 0.5]
    traced = jax.jit(lambda rate: jnp.stack(flaxnoise.linear_rates(rate, 5)))(0.5)
    np.testing.assert_array_equal(traced, jnp.array([0, 0.125, 0.25, 0.375, 0.5]))
    with pytest.raises(ValueError, match=r"linear_rates: depth must be at least 1, got 0"):
        flaxnoise.linear_rates(0.3, 0)
    with pytest.raises(TypeError, match=r"linear_rates: depth must be an integer, got 2.5"):
        flaxnoise.linear_rates(0.3, 2.5)
    with pytest.raises(ValueError, match=r"linear_rates: rate must be in \[0, 1\], got 1.3"):
        flaxnoise.linear_rates(1.3, 2)


@every(
    ("rows", "rate", "kept"),
    [
        (10, 0.0, 10),
        (10, 0.3, 7),
        (10, 0.7, 3),
        (4, 0.1, 3),
        (3, 0.99, 1),
        (10, 1.0, 0),
        (0, 0.3, 0),
    ],
)
def test_number_of_rows_kept(rows: int, rate: float, kept: int):
    assert rows_kept(rows, rate) == kept


def test_only_the_kept_rows_are_computed():
    x, seen = array(10, 3), []

    def branch(rows):
        seen.append(rows.shape)
        return rows * 2

    y = jax.jit(lambda key, x: flaxnoise.residual_drop_path(key, branch, x, 0.3))(KEY, x)
    assert seen == [(7, 3)]
    changed = np.asarray((y != x).all(axis=1))
    assert changed.sum() == 7
    np.testing.assert_array_equal(y[~changed], x[~changed])
    scaled = np.float32(10 / 7) * np.asarray(2 * x[changed])
    np.testing.assert_array_equal(y[changed], x[changed] + scaled)


def test_ends_of_the_skipping_form():
    x = array(10, 3)
    assert_same_bits(flaxnoise.residual_drop_path(KEY, jnp.tanh, x, 0.0), x + jnp.tanh(x))

    def branch(rows):
        raise AssertionError("computed")

    assert flaxnoise.residual_drop_path(KEY, branch, x, 1.0) is x


def test_every_choice_of_rows_is_as_likely():
    draws, rows, kept = 20000, 5, 3
    keys = jax.random.split(KEY, draws)

    def chosen(key):
        y = flaxnoise.residual_drop_path(key, jnp.ones_like, jnp.zeros(rows), 0.4)
        return y != 0

    sets = np.asarray(jax.jit(jax.vmap(chosen))(keys)) @ (2 ** np.arange(rows))
    found, counts = np.unique(sets, return_counts=True)
    assert len(found) == 10  # 5 over 3
    assert all(bin(each).count("1") == kept for each in found)
    assert max(count(each, draws, 1 / 10) for each in counts) < LIMIT
    assert count(draws // 5, draws, 1 / 10) > LIMIT  # planted: one choice twice as often


def test_gradient_of_the_skipping_form_is_that_of_its_rows():
    x, dy = array(10, 3), array(10, 3, seed=1)

    def call(scale, x):
        return flaxnoise.residual_drop_path(KEY, lambda rows: scale * rows, x, 0.3)

    keep = np.asarray((call(1.0, x) != x).all(axis=1, keepdims=True))
    slope = 1 + keep * np.float32(10 / 7)
    gradient = jax.vjp(lambda x: call(1.0, x), x)[1](dy)[0]
    # dy + dy·k on one side, dy·(1 + k) on the other: two roundings each.
    np.testing.assert_allclose(gradient, dy * slope, rtol=4 * 2.0**-24)
    with jax.enable_x64(True):
        # Central differences of a product are exact up to roundings of y, |y| < 7: four in each of
        # the two values, divided by 2·10^-4, in an inner product of 30 terms of size 1.
        bound = 30 * 2 * 4 * 7 * 2.0**-53 / 2e-4
        check_grads(call, (1.5, array(10, 3, dtype=jnp.float64)), order=1, atol=bound, rtol=bound)


def test_gradient_of_the_skipping_form_is_weakly_typed_where_x_is():
    for x in (jnp.full((10, 3), 1.5), array(10, 3)):
        y, pull = jax.vjp(lambda x: flaxnoise.residual_drop_path(KEY, jnp.tanh, x, 0.3), x)
        (gradient,) = pull(jnp.ones_like(y))
        assert gradient.weak_type == x.weak_type


def test_mistakes_are_named():
    x = array(10, 3)
    with pytest.raises(TypeError, match=r"residual_drop_path: rate must be known while tracing"):
        jax.jit(lambda rate: flaxnoise.residual_drop_path(KEY, jnp.tanh, x, rate))(0.3)
    with pytest.raises(ValueError, match=r"branch must keep the shape"):
        flaxnoise.residual_drop_path(KEY, lambda rows: rows[:, :1], x, 0.3)
    with pytest.raises(TypeError, match=r"branch must keep the dtype float32, got bfloat16"):
        flaxnoise.residual_drop_path(KEY, lambda rows: rows.astype(jnp.bfloat16), x, 0.3)
