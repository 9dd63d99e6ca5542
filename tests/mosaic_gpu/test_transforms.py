"""The public functions on the kernel for GPUs, under jax's transforms, against xla."""

import jax
import jax.numpy as jnp
import numpy as np

import flaxnoise
import interpreted_gpu
from closeness import assert_same_bits, assert_within_ulps
from every import every

KEY = jax.random.key(11)
X = jnp.asarray(np.random.default_rng(3).normal(size=(5, 413)), jnp.float32)


def dropout(x):
    return flaxnoise.dropout(KEY, x, 0.3)


def sum_of_squares(x):
    return jnp.sum(dropout(x) ** 2)


def vmapped(x):
    keys = jax.random.split(KEY, len(x))
    wide = jnp.tile(x, (1, 3))
    rates = jnp.linspace(0.1, 0.9, len(x))
    return jax.vmap(flaxnoise.dropout)(keys, wide, rates)


FUNCTIONS = {
    "forward": dropout,
    "gradient": jax.grad(sum_of_squares),
    "tangent": lambda x: jax.jvp(dropout, (x,), (x + 1,))[1],
    "a key and a rate per example": vmapped,
    "shared along a dimension": lambda x: flaxnoise.dropout(
        KEY, jnp.tile(x, (1, 3)), 0.3, broadcast_dims=0
    ),
    "mask": lambda x: flaxnoise.random.keep_mask(KEY, x.shape, 0.3),
}


@every("name", FUNCTIONS)
def test_dropout_is_that_of_xla_bit_for_bit(name: str):
    function = FUNCTIONS[name]
    with flaxnoise.backend("xla"):
        expected = jax.jit(function)(X)
    assert_same_bits(interpreted_gpu.run(function, X), expected)


def test_a_learned_stddev_per_channel_has_its_gradient():
    stddev = jnp.linspace(0.1, 1, 413)

    def loss(stddev):
        return jnp.sum(flaxnoise.gaussian_noise(KEY, X, stddev) * X)

    expected = jax.jit(jax.grad(loss))(stddev)
    actual = interpreted_gpu.run(jax.grad(loss), stddev)
    # Sums of five products x·n, |n| ≤ 6.67.
    assert_within_ulps(actual, expected, 6.67 * jnp.sum(abs(X), axis=0))
