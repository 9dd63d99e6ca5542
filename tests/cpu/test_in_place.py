"""The kernel overwrites buffers that are no longer used, never one that is still read."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flaxnoise
from closeness import assert_same_bits
from flaxnoise.backends import cpu

KEY, X = jax.random.key(3), jnp.linspace(-1, 1, 3 * 1031).reshape(3, 1031)


@pytest.fixture(autouse=True)
def _kernel():
    with flaxnoise.backend("cpu"):
        yield


def drop(x: jax.Array) -> jax.Array:
    return flaxnoise.dropout(KEY, x, 0.5)


def noisy(x: jax.Array) -> jax.Array:
    return flaxnoise.gaussian_noise(KEY, x, 0.1)


def aliases(function, **options) -> list[bool]:
    """Returns for each call of the kernel whether its result aliases an operand."""
    text = jax.jit(function, **options).lower(X).as_text()
    calls = [line for line in text.splitlines() if f"@{cpu.TARGET}(" in line]
    assert calls
    return ["output_operand_alias" in line for line in calls]


def test_an_argument_is_left_alone_and_a_donated_one_is_not():
    assert aliases(drop) == [False]
    assert aliases(drop, donate_argnums=0) == [True]


def test_what_was_computed_on_the_way_is_overwritten():
    assert aliases(lambda x: drop(x + 1)) == [True]
    assert aliases(jax.grad(lambda x: jnp.sum(drop(x) ** 2))) == [False, True]


def test_noise_alone_overwrites_nothing():
    assert aliases(lambda x: x + flaxnoise.random.normal(KEY, x.shape)) == [False]


def test_arrays_that_are_read_again_keep_their_values():
    def several(x: jax.Array) -> tuple[jax.Array, ...]:
        h = jnp.sin(x)
        return h, drop(h), h + drop(h), noisy(h) - h

    h, dropped, added, noise = jax.jit(several)(X)
    np.testing.assert_allclose(h, np.sin(np.asarray(X)), atol=1e-6)  # sines of two libraries
    assert_same_bits(dropped, drop(h))
    assert_same_bits(added, jax.jit(lambda h: h + drop(h))(h))
    assert_same_bits(noise, jax.jit(lambda h: noisy(h) - h)(h))
    assert not np.array_equal(noise, jnp.zeros_like(noise))


def test_the_callers_array_survives_every_call():
    before = np.array(X)
    jax.block_until_ready([drop(X), jax.jit(drop)(X), jax.jit(lambda x: drop(drop(x)))(X)])
    np.testing.assert_array_equal(X, before)
