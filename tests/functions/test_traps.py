"""Defects known from other libraries, each as a user would meet it.

Those about layers, streams of keys and saved state are in tests/layers and tests/sharding.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.random import define_prng_impl
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import flaxnoise
from cases import KEY, Case, array, every_case
from closeness import assert_same_bits
from every import every
from flaxnoise import extend, random

X = array(8, 33)


@every("x", [1.0, 0.0, np.inf, np.nan])
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


@every("rate", [1.5, -0.1])
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


@every("devices", [1, 2, 4, 8])
@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
def test_the_mask_does_not_depend_on_the_number_of_devices(devices: int, kind: AxisType):
    mesh = jax.make_mesh((devices,), ("data",), (kind,), devices=jax.devices()[:devices])
    expected = flaxnoise.dropout(KEY, X, 0.3)
    with jax.set_mesh(mesh):
        cut = jax.device_put(X, NamedSharding(mesh, PartitionSpec("data")))
        y = jax.jit(lambda x: flaxnoise.dropout(KEY, x, 0.3))(cut)
        assert y.sharding.spec == PartitionSpec("data", *(None,) * (len(y.sharding.spec) - 1))
    assert_same_bits(y, expected)


@every("dims", [2, -3, (0, 7)])
def test_broadcast_dims_out_of_range_are_no_bare_index_error(dims):
    with pytest.raises(ValueError, match="broadcast_dims must be dimensions of x, which has 2"):
        flaxnoise.dropout(KEY, X, 0.3, broadcast_dims=dims)


@every("impl", ["rbg", "unsafe_rbg", "threefry2x32"])
def test_each_key_of_a_batch_is_used(impl: str):
    keys = jax.random.split(jax.random.key(3, impl=impl), 4)
    masks = np.asarray(jax.vmap(lambda key: random.keep_mask(key, (257,), 0.5))(keys))
    assert len({mask.tobytes() for mask in masks}) == 4


def test_neighbours_do_not_share_a_mask():
    """Each of the 16 patterns of four neighbours has its share of 2^16 draws, within 6σ."""
    mask = np.asarray(random.keep_mask(KEY, (1 << 16, 4), 0.5))
    counts = np.bincount(mask @ np.array([1, 2, 4, 8]), minlength=16)
    expected = len(mask) / 16
    assert np.all(abs(counts - expected) <= 6 * np.sqrt(expected * 15 / 16))


def test_signs_of_zeros():
    """A dropped element is +0 for any x; a kept zero keeps its sign."""
    negative = jnp.full(257, -0.0)
    y = flaxnoise.dropout(KEY, negative, 0.5)
    keep = random.keep_mask(KEY, (257,), 0.5)
    assert jnp.array_equal(jnp.signbit(y), keep)
    y = flaxnoise.masked_gaussian_noise(KEY, negative, 0.5, 0.3)
    assert jnp.signbit(jnp.where(keep, y, -0.0)).all()
    assert jnp.signbit(flaxnoise.gaussian_noise(KEY, negative, 0.0)).all()


def test_rate_one_tenth_drops_one_tenth():
    """8-bit thresholds would drop 0.1016 and scale by 1/0.9."""
    assert abs(float(random.realised_rate(0.1)) - 0.1) < 1e-5


@every("dtype", ["bfloat16", "float16", "float8_e4m3fn"])
@every_case
def test_gradients_do_not_rely_on_promotion_of_dtypes(case: Case, dtype: str):
    """jax can be set to forbid promotion, and 8-bit floats do not have it."""
    x = array(8, 33, dtype=dtype)

    def loss(x: jax.Array, *params: jax.Array) -> jax.Array:
        return jnp.sum(case(KEY, x, *params).astype(jnp.float32))

    positions = (0, *(1 + i for i in case.learned))
    params = [jnp.float32(value) for value in case.params]
    with jax.numpy_dtype_promotion("strict"):
        found = jax.grad(loss, positions)(x, *params)
    assert all(jnp.isfinite(each.astype(jnp.float32)).all() for each in found)


def test_nor_do_those_of_what_is_no_row_of_the_table():
    x = array(4, 8, 8, 6, dtype="bfloat16")
    functions = [
        lambda x: flaxnoise.drop_block_2d(KEY, x, 0.3, block_size=3),
        lambda x: flaxnoise.gradient_scale(x, 0.5),
        flaxnoise.gradient_reversal,
    ]
    for function in functions:
        with jax.numpy_dtype_promotion("strict"):
            gradient = jax.grad(lambda x, f=function: jnp.sum(f(x).astype(jnp.float32)))(x)
        assert jnp.isfinite(gradient.astype(jnp.float32)).all()


def test_a_reversal_by_an_unsigned_number_reverses():
    for scale in (np.uint8(2), np.int8(2), jnp.uint8(2), 2):
        assert jax.grad(lambda x, s=scale: flaxnoise.gradient_reversal(x, s))(1.0) == -2
    assert jax.grad(lambda x: flaxnoise.gradient_reversal(x, np.int8(-128)))(1.0) == 128


def test_numbers_that_are_infinite_in_float32_are_refused():
    for call in (
        lambda: flaxnoise.gaussian_noise(KEY, X, 1e39),
        lambda: flaxnoise.uniform_noise(KEY, X, 1e39),
        lambda: flaxnoise.salt_and_pepper_noise(KEY, X, 0.1, -1e39, 1.0),
        lambda: flaxnoise.gradient_scale(X, 1e39),
    ):
        with pytest.raises(ValueError, match=r"must be finite.*got -?1e\+39"):
            call()
    with jax.enable_x64(True):
        y = flaxnoise.gaussian_noise(KEY, jnp.zeros(33, jnp.float64), 1e39)
        assert jnp.isfinite(y).all()


def test_traced_parameters_that_are_not_finite_give_no_nan():
    @jax.jit
    def results(value: jax.Array) -> list[jax.Array]:
        def drop(x: jax.Array) -> jax.Array:
            return flaxnoise.concrete_dropout(KEY, x, 0.0, temperature=value).sum()

        scale = jax.grad(lambda x: flaxnoise.gradient_scale(x, value).sum())
        return [*jax.value_and_grad(drop)(X), scale(X)]

    for value in (jnp.nan, jnp.inf, -jnp.inf):
        assert all(jnp.isfinite(each).all() for each in results(value))


@every("rank", [16, 17])
def test_arrays_of_more_dimensions_than_the_kernel_has(rank: int):
    x = array(*(2,) * 9).reshape((2,) * 9 + (1,) * (rank - 9))
    assert_same_bits(
        flaxnoise.dropout(KEY, x, 0.3).reshape(-1), flaxnoise.dropout(KEY, x.reshape(-1), 0.3)
    )


def test_a_key_is_used_once():
    with jax.debug_key_reuse(True):
        flaxnoise.salt_and_pepper_noise(jax.random.key(3), X, 0.3, -1.0, 1.0)


def test_no_function_relies_on_promotion_of_ranks():
    kernel, bias, x = array(33, 5), array(5), array(2, 8, 33)
    with jax.numpy_rank_promotion("raise"):
        for factorised in (True, False):
            flaxnoise.noisy_dense(KEY, x, kernel, bias, kernel, bias, factorised=factorised)


def test_a_message_does_not_print_whole_trees():
    with pytest.raises(TypeError, match="dropout: x must be an array, got") as error:
        flaxnoise.dropout(KEY, {"a": X, "b": X}, 0.3)
    assert len(str(error.value)) < 200


@every("dims", [np.array([0, 1]), {0, 1}, range(2), (d for d in (0, 1))])
def test_dimensions_may_come_in_any_iterable(dims):
    y = flaxnoise.dropout(KEY, X, 0.5, broadcast_dims=dims)
    assert_same_bits(y, flaxnoise.dropout(KEY, X, 0.5, broadcast_dims=(0, 1)))


def test_a_magnitude_that_float32_cannot_hold_is_refused_in_64_bit_mode_too():
    """x is float32 there as well, and so is what is added to it."""
    for function in (flaxnoise.gaussian_noise, flaxnoise.uniform_noise):
        with jax.enable_x64(True), pytest.raises(ValueError, match=r"must be finite and ≥ 0"):
            function(KEY, X, 1e39)


def test_keys_of_more_than_four_words_are_refused():
    """Their further words would not count."""

    def zeros(*_: Any) -> jax.Array:
        return jnp.zeros(6, jnp.uint32)

    wide = define_prng_impl(
        key_shape=(6,),
        seed=zeros,
        split=zeros,
        random_bits=zeros,
        fold_in=zeros,
        name="six_words",
        tag="six",
    )
    key = jax.random.wrap_key_data(jnp.arange(6, dtype=jnp.uint32), impl=wide)
    with pytest.raises(TypeError, match=r"^dropout: key must have data of 1 to 4 words, got"):
        flaxnoise.dropout(key, X, 0.5)


def test_float64_in_32_bit_mode_warns_as_jax_does():
    with pytest.warns(UserWarning, match="float64"):
        assert flaxnoise.random.normal(KEY, (3,), jnp.float64).dtype == jnp.float32


@every("name", ["c", "d"])
def test_an_offset_is_not_lost_on_complex_numbers(name: str):
    """The formula has real offsets; a function of a user's own may ask for one."""
    z = jnp.ones(4, jnp.complex64)
    with pytest.raises(TypeError, match=r"apply: x must be floating, got complex64"):
        extend.apply("normal", KEY, z, **{"a": 1.0, name: 1.0})
    assert extend.apply("normal", KEY, z, b=1.0).dtype == jnp.complex64
