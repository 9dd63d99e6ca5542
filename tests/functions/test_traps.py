"""Defects of other libraries that this one must never have, each as a user would meet it.

Those about layers, streams of keys and saved state are under tests/layers and tests/sharding.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import flaxnoise
from cases import KEY, Case, array, every_case
from closeness import assert_same_bits
from flaxnoise import random

X = array(8, 33)


@pytest.mark.parametrize("x", [1.0, 0.0, np.inf, np.nan])
def test_gradient_at_rate_1_is_0_and_not_nan(x: float):
    def loss(x: jax.Array, rate: jax.Array) -> jax.Array:
        return flaxnoise.dropout(KEY, x, rate).sum()

    values = jnp.full(33, x)
    assert_same_bits(jax.grad(loss)(values, 1.0), jnp.zeros(33))
    assert_same_bits(jax.jit(jax.grad(loss))(values, 1.0), jnp.zeros(33))
    assert_same_bits(jax.grad(loss)(values, 1), jnp.zeros(33))


def test_gaussian_dropout_near_and_at_rate_1_does_not_divide_by_zero():
    with pytest.raises(ValueError, match="infinite at rate 1"):
        flaxnoise.gaussian_dropout(KEY, X, 1.0)
    value_and_grad = jax.jit(
        jax.value_and_grad(lambda r: flaxnoise.gaussian_dropout(KEY, X, r).sum())
    )
    for rate in (1.0, 1 - 2.0**-24, 0.0, 2.0**-149):
        assert all(jnp.isfinite(part) for part in value_and_grad(rate))


@pytest.mark.parametrize("rate", [1.5, -0.1])
def test_a_rate_out_of_range_neither_scales_nor_gives_zeros(rate: float):
    for function in (flaxnoise.dropout, flaxnoise.gaussian_dropout):
        with pytest.raises(ValueError, match=r"rate must be in \[0, 1"):
            function(KEY, X, rate)


def test_a_traced_rate_may_reach_1_in_the_middle_of_a_schedule():
    ys = jax.jit(jax.vmap(lambda rate: flaxnoise.dropout(KEY, X, rate)))(jnp.linspace(0, 1, 5))
    assert_same_bits(ys[0], X)
    assert_same_bits(ys[4], jnp.zeros_like(X))
    assert jnp.isfinite(ys).all()


@every_case
def test_integers_do_not_silently_become_floats(case: Case):
    for params in (case.params, *case.identity, *case.zeros):
        with pytest.raises(TypeError, match=f"^{case.name}: x must be floating"):
            case(KEY, np.arange(7), *params)


@every_case
def test_half_precision_stays_half_precision(case: Case):
    for params in (case.params, *case.identity, *case.zeros):
        assert case(KEY, X.astype(jnp.bfloat16), *params).dtype == jnp.bfloat16


@pytest.mark.parametrize("devices", [1, 2, 4, 8])
@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
def test_the_mask_does_not_depend_on_the_number_of_devices(devices: int, kind: AxisType):
    mesh = jax.make_mesh((devices,), ("data",), (kind,), devices=jax.devices()[:devices])
    expected = flaxnoise.dropout(KEY, X, 0.3)
    with jax.set_mesh(mesh):
        cut = jax.device_put(X, NamedSharding(mesh, PartitionSpec("data")))
        y = jax.jit(lambda x: flaxnoise.dropout(KEY, x, 0.3))(cut)
        assert y.sharding.spec == PartitionSpec("data", *(None,) * (len(y.sharding.spec) - 1))
    assert_same_bits(y, expected)


@pytest.mark.parametrize("dims", [2, -3, (0, 7)])
def test_broadcast_dims_out_of_range_are_no_bare_index_error(dims):
    with pytest.raises(ValueError, match="broadcast_dims must be dimensions of x, which has 2"):
        flaxnoise.dropout(KEY, X, 0.3, broadcast_dims=dims)


@pytest.mark.parametrize("impl", ["rbg", "unsafe_rbg", "threefry2x32"])
def test_each_key_of_a_batch_is_used(impl: str):
    keys = jax.random.split(jax.random.key(3, impl=impl), 4)
    masks = np.asarray(jax.vmap(lambda key: random.keep_mask(key, (257,), 0.5))(keys))
    assert len({mask.tobytes() for mask in masks}) == 4


def test_neighbours_do_not_share_a_mask():
    """Each of the 16 patterns of four neighbours, in its share of 2^16 draws, within 6σ."""
    mask = np.asarray(random.keep_mask(KEY, (1 << 16, 4), 0.5))
    counts = np.bincount(mask @ np.array([1, 2, 4, 8]), minlength=16)
    expected = len(mask) / 16
    assert np.all(abs(counts - expected) <= 6 * np.sqrt(expected * 15 / 16))


def test_signs_of_zeros():
    """What is dropped is +0 whatever x was; a zero that is kept keeps its sign."""
    negative = jnp.full(257, -0.0)
    y = flaxnoise.dropout(KEY, negative, 0.5)
    keep = random.keep_mask(KEY, (257,), 0.5)
    assert jnp.array_equal(jnp.signbit(y), keep)
    y = flaxnoise.masked_gaussian_noise(KEY, negative, 0.5, 0.3)
    assert jnp.signbit(jnp.where(keep, y, -0.0)).all()
    assert jnp.signbit(flaxnoise.gaussian_noise(KEY, negative, 0.0)).all()


def test_rate_one_tenth_drops_one_tenth():
    """Thresholds of 8 bits would drop 0.1016 and scale by 1/0.9."""
    assert abs(float(random.realised_rate(0.1)) - 0.1) < 1e-5
