"""The public assertions about gradients pass where they should, and fail with a message."""

import jax
import jax.numpy as jnp
import pytest

import flaxnoise
from cases import KEY, Case, array, every_case
from every import every
from flaxnoise import testing

X = array(5, 33)


def by_hand(key: jax.Array, x: jax.Array) -> jax.Array:
    """Dropout that saves its mask for the backward pass."""
    return jnp.where(jax.random.bernoulli(key, 0.7, x.shape), x / 0.7, 0)


def message(call, *args, **kwargs) -> str:
    with pytest.raises(AssertionError) as error:
        call(*args, **kwargs)
    return str(error.value)


def test_stopped_gradients_pass():
    testing.assert_stops_gradient(flaxnoise.stop_gradient, {"kernel": X, "count": 3})
    testing.assert_stops_gradient(lambda x: flaxnoise.dropout(KEY, x, 1.0), X)
    testing.assert_stops_gradient(lambda x: (jnp.floor(x), jnp.argmax(x)), X)


def test_a_gradient_that_gets_through_is_located():
    def f(tree: dict[str, jax.Array], x: jax.Array) -> jax.Array:
        return jax.lax.stop_gradient(x) + tree["bias"].at[0].set(0)

    text = message(testing.assert_stops_gradient, f, {"bias": jnp.zeros(3)}, jnp.zeros(3))
    assert text == (
        "[Chex] Assertion assert_stops_gradient failed: a gradient gets through.\n"
        "  args[0]['bias']: not 0 in 2 of 3 elements; first at [1]: 1.0"
    )


def test_a_gradient_of_nan_is_no_stopped_one():
    text = message(testing.assert_stops_gradient, lambda x: 0 * jnp.sqrt(x), jnp.array([1.0, 0.0]))
    assert text.endswith("args[0]: not 0 in 1 of 2 elements; first at [1]: nan")


@every(
    ("f", "args", "what"),
    [(lambda key: key, (KEY,), "argument"), (lambda x: x.astype(jnp.int32), (X,), "output")],
)
def test_what_cannot_be_differentiated_is_a_value_error(f, args, what: str):
    with pytest.raises(ValueError, match=f"there is no floating {what} to differentiate"):
        testing.assert_stops_gradient(f, *args)


def test_same_gradients_pass():
    testing.assert_same_gradient(lambda x: flaxnoise.gaussian_noise(KEY, x, 0.3), lambda x: x, X)
    testing.assert_same_gradient(lambda t: t["a"] * 2, lambda t: t["a"] + t["a"], {"a": X, "n": 1})
    testing.assert_same_gradient(lambda x: x * (1 + 2**-23), lambda x: x, X, ulps=2)
    nan = jnp.full(3, jnp.nan)
    testing.assert_same_gradient(lambda x: x * nan, lambda x: x * nan, jnp.ones(3))


def test_different_gradients_are_located():
    factor = jnp.array([1.0, 1.0, 1 + 2**-22])
    functions = (lambda x: x, lambda x: x * factor)
    text = message(testing.assert_same_gradient, *functions, jnp.ones(3), ulps=1)
    assert text == (
        "[Chex] Assertion assert_same_gradient failed: the gradients of f and g differ.\n"
        "  args[0]: 1 of 3 elements by more than 1 ulp; first at [2]: 1.5 and 1.5000004"
    )


def test_outputs_of_other_shapes_are_named():
    text = message(testing.assert_same_gradient, lambda x: x, lambda x: x[:2], jnp.ones(3))
    assert text.startswith("[Chex] Assertion assert_same_gradient failed: ")
    assert text.endswith("shapes: (3,) != (2,).")


@every_case
def test_no_noise_residuals_pass_for_ours(case: Case):
    testing.assert_no_noise_residuals(case, KEY, X)
    testing.assert_no_noise_residuals(case, jax.random.key_data(KEY), X)


def test_what_does_not_change_with_the_key_may_be_kept():
    rates = jnp.full((5, 33), 0.3)
    testing.assert_no_noise_residuals(lambda key, x: jnp.tanh(x) * x, KEY, X)
    testing.assert_no_noise_residuals(flaxnoise.gaussian_dropout, KEY, X, rates)


def test_words_beside_a_typed_key_are_not_keys():
    ids = jnp.arange(66, dtype=jnp.uint32).reshape(33, 2)

    def indexed(key, x, ids):
        return flaxnoise.dropout(key, x, 0.5) * (ids[:, 0] < 50)  # a residual that follows ids

    testing.assert_no_noise_residuals(indexed, KEY, X, ids)
    text = message(testing.assert_no_noise_residuals, indexed, jax.random.key_data(KEY), X, ids)
    assert "bool[" in text or "float32[" in text  # documented: raw keys look the same


@every("wrap", [lambda f: f, jax.jit])
def test_a_mask_that_is_kept_is_described(wrap):
    text = message(testing.assert_no_noise_residuals, wrap(by_hand), KEY, X)
    assert text.startswith(
        "[Chex] Assertion assert_no_noise_residuals failed: the backward pass is given noise.\n  "
    )
    assert "bool[5,33] (165 bytes)" in text


def test_a_mask_that_is_kept_under_vmap_is_described():
    keys, xs = jax.random.split(KEY, 3), jnp.stack([X, X, X])
    assert "bool[3,5,33]" in message(testing.assert_no_noise_residuals, jax.vmap(by_hand), keys, xs)


def test_residuals_need_a_key_among_the_arguments():
    with pytest.raises(ValueError, match="there is no key among the arguments"):
        testing.assert_no_noise_residuals(lambda x: by_hand(KEY, x), X)
