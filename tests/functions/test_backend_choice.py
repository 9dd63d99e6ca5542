"""``with flaxnoise.backend(…)``, FLAXNOISE_BACKEND and ``flaxnoise.backends()``."""

import jax
import jax.numpy as jnp
import pytest

import flaxnoise
from cases import KEY, Case, array, every_case

X = array(33, 129)
NAMES = ", ".join(map(repr, flaxnoise.backends()))


def test_xla_is_always_available():
    assert flaxnoise.backends()["xla"] == "available"


@every_case
def test_xla_gives_what_the_default_gives(case: Case):
    """Masks exactly, normals within the few ulps of another compiler."""
    expected = case(KEY, X)
    with flaxnoise.backend("xla"):
        case.assert_equal(case(KEY, X), expected, X)


def test_a_function_jitted_before_is_traced_again():
    traces = []

    @jax.jit
    def noisy(x: jax.Array) -> jax.Array:
        traces.append(1)
        return flaxnoise.dropout(KEY, x, 0.3)

    expected = noisy(X)
    with flaxnoise.backend("xla"):
        assert jnp.array_equal(noisy(X), expected)
    noisy(X)
    assert len(traces) == 2


def test_unknown_names():
    text = f"backend: must be one of {NAMES}, got 'triton'."
    with pytest.raises(ValueError, match="triton") as error, flaxnoise.backend("triton"):
        raise AssertionError
    assert str(error.value) == text


def test_unknown_name_in_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FLAXNOISE_BACKEND", "triton")
    with pytest.raises(ValueError, match="triton") as error:
        flaxnoise.dropout(KEY, jnp.ones((2, 3, 5, 7)), 0.3)
    assert str(error.value) == f"FLAXNOISE_BACKEND: must be one of {NAMES}, got 'triton'."


def test_the_environment_chooses_and_the_context_wins(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FLAXNOISE_BACKEND", "xla")
    text = jax.jit(lambda x: flaxnoise.dropout(KEY, x, 0.3)).lower(X).as_text()
    assert "custom_call" not in text
    monkeypatch.setenv("FLAXNOISE_BACKEND", "triton")
    with flaxnoise.backend("xla"):
        assert jax.jit(lambda x: flaxnoise.dropout(KEY, x, 0.3)).lower(X).as_text() == text
