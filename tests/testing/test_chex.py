"""Each public assertion is a chex assertion, with its keywords, switch and messages."""

import inspect

import chex
import jax.numpy as jnp
import pytest

import flaxnoise
from cases import KEY, array
from every import every
from flaxnoise import testing
from flaxnoise.testing import assertion

X = array(5, 33)
# Assertion → arguments on which it fails.
FAILING = {
    "assert_identity": (lambda x: x + 1, X),
    "assert_no_noise_residuals": (
        lambda key, x: jnp.where(flaxnoise.random.keep_mask(key, x.shape, 0.5), x, 0),
        KEY,
        X,
    ),
    "assert_same_gradient": (lambda x: x, lambda x: 2 * x, X),
    "assert_same_noise": (lambda x: x, lambda x: 2 * x, X),
    "assert_same_type": (lambda x: x[0], X),
    "assert_stops_gradient": (lambda x: x, X),
    "assert_traced_once": (lambda x: x, (X,), (X[0],)),
    "assert_unbiased": (lambda key, x: x + 1, KEY, X),
}
every_assertion = every("name", FAILING)


@pytest.fixture
def disabled():
    chex.disable_asserts()
    yield
    chex.enable_asserts()


def test_every_assertion_is_here():
    public = {
        name for name, _ in inspect.getmembers(testing, callable) if name.startswith("assert_")
    }
    assert public == FAILING.keys()


@every_assertion
def test_it_begins_as_chex_does_and_takes_its_keywords(name: str):
    with pytest.raises(AssertionError, match=rf"^\[Chex\] Assertion {name} failed: "):
        getattr(testing, name)(*FAILING[name])
    with pytest.raises(RuntimeError, match=r"\[layer 3\]$"):
        getattr(testing, name)(
            *FAILING[name],
            custom_message="layer {}",
            custom_message_format_vars=[3],
            exception_type=RuntimeError,
        )


@every_assertion
def test_chex_disables_it(name: str, disabled: None):
    getattr(testing, name)(*FAILING[name])


@pytest.mark.parametrize("default", [True, False])
def test_without_the_private_name_of_chex_it_is_the_same(monkeypatch, default: bool):
    def check(x: int) -> None:
        """Always fails."""
        chex.assert_equal(x, 1)

    def message() -> str:
        with pytest.raises(KeyError) as error:
            assertion.chex_assertion(check)(
                2,
                custom_message="in {}",
                custom_message_format_vars=["it"],
                include_default_message=default,
                exception_type=KeyError,
            )
        return str(error.value)

    expected = message()
    monkeypatch.setattr(assertion, "_of_chex", None)
    assert message() == expected
    fallback = assertion.chex_assertion(check)
    assert (fallback.__name__, fallback.__doc__) == ("check", "Always fails.")
    chex.disable_asserts()
    try:
        fallback(2)
    finally:
        chex.enable_asserts()


def test_types_and_traces_that_are_right_pass():
    testing.assert_same_type(lambda x: flaxnoise.dropout(KEY, x, 0.5), X.astype(jnp.bfloat16))
    testing.assert_traced_once(lambda x, rate: flaxnoise.dropout(KEY, x, rate), (X, 0.1), (X, 0.2))


def test_a_shape_and_a_dtype_that_change_are_named():
    with pytest.raises(AssertionError, match=r"shapes: \(33,\) != \(5, 33\)"):
        testing.assert_same_type(lambda x: x[0], X)
    with pytest.raises(AssertionError, match="types: float16 != float32"):
        testing.assert_same_type(lambda x: x.astype(jnp.float16), X)
