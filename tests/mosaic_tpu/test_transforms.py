"""Public functions on the kernel: values, derivatives and batches equal those of xla."""

import jax
import jax.numpy as jnp
import pytest

import flaxnoise
from cases import CASES, KEY, Case, array, few_cases

X = array(32, 128)


@few_cases
@pytest.mark.usefixtures("interpreted")
def test_forward_and_gradients(case: Case):
    """Gradients in x and in the learned parameters; the backward pass uses the kernel too."""
    params = [jnp.float32(value) for value in case.params]
    learned = tuple(1 + position for position in case.learned)

    def loss(x, *params):
        y = case(KEY, x, *params)
        return jnp.sum(y * array(*y.shape, seed=3)), y

    def graded(x, *params):
        gradient = jax.value_and_grad(loss, argnums=(0, *learned), has_aux=True)
        (_, y), found = gradient(x, *params)
        return y, *found

    y, dx, *slopes = jax.jit(graded)(X, *params)
    with flaxnoise.backend("xla"):
        expected, expected_dx, *expected_slopes = jax.jit(graded)(X, *params)
    case.assert_equal(y, expected, X)
    case.assert_equal(dx, expected_dx, array(*X.shape, seed=3))
    for slope, other in zip(slopes, expected_slopes, strict=True):
        # A sum of 4096 terms of both signs, at most 10 in size, in different order.
        assert abs(slope - other) <= 4096 * 10 * 2.0**-22


@pytest.mark.usefixtures("interpreted")
def test_keys_of_a_batch():
    keys = jax.random.split(KEY, 3)
    batched = jax.jit(jax.vmap(CASES[0], in_axes=(0, None)))(keys, X)
    with flaxnoise.backend("xla"):
        for key, y in zip(keys, batched, strict=True):
            CASES[0].assert_equal(y, CASES[0](key, X), X)
