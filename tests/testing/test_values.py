"""The public assertions about values pass where they should, and fail with a message."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flaxnoise
from cases import KEY, array
from every import every
from flaxnoise import testing

X = array(33, 129)


def message(call, *args, **kwargs) -> str:
    with pytest.raises(AssertionError) as error:
        call(*args, **kwargs)
    return str(error.value)


def test_same_noise_passes():
    testing.assert_same_noise(jax.jit(flaxnoise.dropout), flaxnoise.dropout, KEY, X, 0.3)
    testing.assert_same_noise(lambda x: [x, 1], lambda x: [x + 0, 1], X)
    short = X.astype(jnp.bfloat16)
    testing.assert_same_noise(lambda x: x, lambda x: x * (1 + 2**-7), short, ulps=2)


def test_other_noise_is_located():
    def other(key: jax.Array, x: jax.Array) -> dict[str, jax.Array]:
        return {"y": jnp.where(jnp.arange(3) == 1, 7.0, x), "key": jax.random.key_data(key)}

    def one(key: jax.Array, x: jax.Array) -> dict[str, jax.Array]:
        return {"y": x, "key": jax.random.key_data(key)}

    text = message(testing.assert_same_noise, one, other, KEY, jnp.ones(3))
    assert text == (
        "[Chex] Assertion assert_same_noise failed: f and g differ.\n"
        "  output['y']: 1 of 3 elements by more than 0 ulp; first at [1]: 1.0 and 7.0"
    )


@every("dtype", ["float16", "bfloat16", "float32", "complex64"])
def test_ulps_are_counted_in_the_dtype(dtype: str):
    x = jnp.full(3, 1.5, dtype)
    step = float(jnp.finfo(dtype).eps)
    testing.assert_same_noise(lambda x: x, lambda x: x + 3 * step, x, ulps=3)
    text = message(testing.assert_same_noise, lambda x: x, lambda x: x + 3 * step, x, ulps=2)
    assert "3 of 3 elements by more than 2 ulp" in text


def test_nan_is_nan_and_inf_is_inf():
    x = jnp.array([jnp.nan, jnp.inf, -jnp.inf])
    testing.assert_same_noise(lambda x: x, lambda x: x + 1, x)
    text = message(testing.assert_same_noise, lambda x: x, lambda x: -x, x, ulps=8)
    assert "2 of 3 elements" in text
    assert "[1]: inf and -inf" in text


def test_structures_dtypes_and_shapes_are_compared():
    text = message(testing.assert_same_noise, lambda x: [x], lambda x: (x,), jnp.ones(3))
    assert text.startswith("[Chex] Assertion assert_same_noise failed: ")
    assert "tree 0: PyTreeDef([*])" in text
    with pytest.raises(AssertionError, match="types: float32 != float16"):
        testing.assert_same_noise(lambda x: x, lambda x: x.astype(jnp.float16), jnp.ones(3))


def test_identity_passes():
    special = jnp.array([0.0, -0.0, jnp.inf, jnp.nan, 1e-45])
    testing.assert_identity(lambda x: flaxnoise.dropout(KEY, x, rate=0), special)
    testing.assert_identity(lambda tree: tree, {"a": X, "n": 3})


def test_a_changed_sign_of_zero_is_no_identity():
    text = message(testing.assert_identity, lambda x: {"a": x["a"] + 0.0}, {"a": jnp.array([-0.0])})
    assert (
        text
        == "[Chex] Assertion assert_identity failed: f(x) is not x.\n  x['a']: 1 of 4 bytes changed"
    )
    with pytest.raises(AssertionError, match="types: float32 != float16"):
        testing.assert_identity(lambda x: x.astype(jnp.float16), X)


def test_unbiased_noise_passes():
    testing.assert_unbiased(lambda key, x: flaxnoise.dropout(key, x, 0.9), KEY, X)
    testing.assert_unbiased(lambda key, x: x, KEY, X)


@every("keep", [0.69, 0.71])
def test_a_bias_is_measured(keep: float):
    """A scale that is off by 1.4 %."""

    def biased(key: jax.Array, x: jax.Array) -> jax.Array:
        return flaxnoise.dropout(key, x, 0.3) * 0.7 / keep

    text = message(testing.assert_unbiased, biased, KEY, X, draws=256)
    assert text.startswith(
        "[Chex] Assertion assert_unbiased failed: the mean of (f(key, x) − x)·sign(x) is "
    )
    assert text.endswith(" standard errors from 0 over 256 draws; 6 are allowed.")
    assert float(text.split(" is ")[1].split(",")[0]) * (0.7 - keep) > 0


WRONG = {
    "an offset, signs of x in balance": (lambda key, x: x + 1, np.linspace(-1, 1, 100)),
    "an offset of zeros": (lambda key, x: x + 1, np.zeros(100)),
    "a noisy offset": (
        lambda key, x: x + 3 + jax.random.normal(key, x.shape),
        np.linspace(-1, 1, 100),
    ),
    "another order": (lambda key, x: x[::-1], np.arange(1.0, 101)),
    "a random order": (jax.random.permutation, np.arange(1.0, 101)),
}


@every("name", WRONG)
def test_errors_that_cancel_in_the_mean_are_seen(name: str):
    function, x = WRONG[name]
    text = message(testing.assert_unbiased, function, KEY, jnp.asarray(x, jnp.float32))
    assert "the mean of (f(key, x) − x)" in text


@every("x, draws", [(np.zeros(0), 9), (np.zeros(3), 1)])
def test_too_little_to_average_is_refused(x: np.ndarray, draws: int):
    with pytest.raises(ValueError, match="assert_unbiased: expected at least one element"):
        testing.assert_unbiased(lambda key, x: x, KEY, jnp.asarray(x), draws=draws)


def test_typed_keys_are_compared_by_their_words():
    testing.assert_same_noise(jax.random.key, jax.random.key, 3)
    text = message(testing.assert_same_noise, lambda: jax.random.key(1), lambda: jax.random.key(2))
    assert "1 of 2 elements" in text


def test_constant_errors_are_infinitely_many_standard_errors():
    text = message(testing.assert_unbiased, lambda key, x: x + jnp.sign(x), KEY, jnp.ones(3))
    assert " is 1, inf standard errors from 0 over 1024 draws; 6 are allowed." in text


@every("wrong", [np.nan, np.inf])
def test_nan_and_inf_are_counted(wrong: float):
    text = message(
        testing.assert_unbiased, lambda key, x: x.at[0].set(wrong), KEY, jnp.ones(3), draws=5
    )
    assert text == (
        "[Chex] Assertion assert_unbiased failed: "
        "f(key, x) is inf or NaN in 5 of 15 elements over 5 draws."
    )


def test_a_false_alarm_is_rare():
    """The statistic is normal: for 64 keys none exceeds 4 standard errors."""
    for seed in range(64):
        key = jax.random.key(seed)
        noisy = jax.vmap(lambda key: flaxnoise.gaussian_noise(key, X[0], 0.3))
        errors = (noisy(jax.random.split(key, 256)) - X[0]) * jnp.sign(X[0])
        numbers = np.asarray(errors.mean(1), np.float64)
        assert abs(numbers.mean()) <= 4 * numbers.std(ddof=1) / 16


def test_identity_of_numpy_arrays_that_jax_makes_narrower():
    testing.assert_identity(lambda x: jnp.asarray(x), np.linspace(0, 1, 5))
    with pytest.raises(AssertionError, match="f\\(x\\) is not x"):
        testing.assert_identity(lambda x: jnp.asarray(x) + 1, np.linspace(0, 1, 5))
