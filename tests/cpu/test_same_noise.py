"""The functions give the same on every SIMD target as on xla, in one call of the kernel."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flaxnoise
from closeness import assert_same_bits, assert_within_ulps
from flaxnoise.backends import cpu

KEY = jax.random.key(11)
RATES = [0.0, 1 / 65536, 0.3, 0.9995, 65535 / 65536, 1.0]
DTYPES = [jnp.float32, jnp.bfloat16, jnp.float16]


def on(backend, function, *arguments):
    """The function, traced for a backend."""
    with flaxnoise.backend(backend):
        return jax.jit(lambda *a: function(*a))(*arguments)


def input_of(shape, dtype):
    return jnp.asarray(np.random.default_rng(3).normal(size=shape), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rate", RATES)
def test_dropout_is_that_of_xla_bit_for_bit(simd, dtype, rate):
    x = input_of((5, 1031), dtype).at[0, :4].set(jnp.array([jnp.nan, jnp.inf, -0.0, 0.0], dtype))

    def apply(x):
        return flaxnoise.dropout(KEY, x, rate)

    assert_same_bits(on("cpu", apply, x), on("xla", apply, x))


@pytest.mark.parametrize("dtype", DTYPES)
def test_normal_noise_is_that_of_xla_within_ulps(simd, dtype):
    x = input_of((5, 1031), dtype)
    for apply in (
        lambda x: flaxnoise.gaussian_noise(KEY, x, 0.3),
        lambda x: flaxnoise.gaussian_dropout(KEY, x, 0.3),
        lambda x: flaxnoise.masked_gaussian_noise(KEY, x, 0.3, 0.7),
    ):
        # |n| < 6.67, and so no term is above these.
        terms = 8 * (abs(x.astype(jnp.float32)) + 1)
        assert_within_ulps(on("cpu", apply, x), on("xla", apply, x), terms)


def test_64_bit_arrays_get_the_same_noise(simd):
    with jax.enable_x64(True):
        x = input_of((3, 1031), jnp.float64)

        def drop(x):
            return flaxnoise.dropout(KEY, x, 0.3)

        def add(x):
            return flaxnoise.gaussian_noise(KEY, x, 0.3)

        assert_same_bits(on("cpu", drop, x), on("xla", drop, x))
        assert_within_ulps(on("cpu", add, x), on("xla", add, x), abs(x) + 8)


def test_batches_of_keys_inputs_and_parameters_are_one_call(simd):
    keys = jax.random.split(KEY, 6).reshape(2, 3)
    x = input_of((2, 3, 700), jnp.float32)
    rates = jnp.array([0.1, 0.5, 0.9])

    def apply(keys, x, rates):
        rows = jax.vmap(flaxnoise.dropout)
        return jax.vmap(rows, in_axes=(0, 0, None))(keys, x, rates)

    with flaxnoise.backend("cpu"):
        text = jax.jit(apply).lower(keys, x, rates).as_text()
    assert text.count(f"custom_call @{cpu.TARGET}") == 1
    loop = jnp.stack(
        [
            jnp.stack(
                [on("xla", flaxnoise.dropout, keys[i, j], x[i, j], rates[j]) for j in range(3)]
            )
            for i in range(2)
        ]
    )
    assert_same_bits(on("cpu", apply, keys, x, rates), loop)


def test_arrays_of_parameters_and_shared_dimensions_get_the_same_noise(simd):
    x = input_of((6, 515), jnp.float32)
    per_channel = jnp.linspace(0, 1, 515)

    def drop(x):
        return flaxnoise.dropout(KEY, x, per_channel)

    def shared(x):
        return flaxnoise.dropout(KEY, x, 0.4, broadcast_dims=0)

    for apply in (drop, shared):
        assert_same_bits(on("cpu", apply, x), on("xla", apply, x))
