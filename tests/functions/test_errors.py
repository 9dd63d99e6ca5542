"""Every mistake has one text: the same in all functions, at every rate, eager and jitted."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cases import CASES, KEY, Case, every_case

X = jnp.ones((5, 33))
NO_KEY = "key is missing. Pass one, such as jax.random.key(0)."
A_BATCH = "key must be a single key, got a batch of keys of shape {}. Map over them with jax.vmap."
SHARE = "It is the share of elements dropped, not kept."
INFINITE = "The standard deviation √(rate/(1 − rate)) of the noise is infinite at rate 1."
NO_DIMS = "broadcast_dims must be an integer or a sequence of them, got {}."
OUT_OF_RANGE = "broadcast_dims must be dimensions of x, which has 2, got {}."
REPEATED = "broadcast_dims must not repeat a dimension, got {}."
SHAPE = "must be a scalar or broadcast to the shape (5, 33) of x, got the shape {}."

KEYS = [
    (None, TypeError, NO_KEY),
    (7, TypeError, "key must be a jax.random key, got 7."),
    ("seed", TypeError, "key must be a jax.random key, got 'seed'."),
    (np.uint32(7), TypeError, "key must be a jax.random key, got uint32[]."),
    (np.ones(2, np.float32), TypeError, "key must be a jax.random key, got float32[2]."),
    (np.ones(3, np.uint32), TypeError, "key must be a jax.random key, got uint32[3]."),
    (jax.random.split(KEY, 3), ValueError, A_BATCH.format("(3,)")),
    (jax.random.split(KEY, (2, 1)), ValueError, A_BATCH.format("(2, 1)")),
    (np.ones((3, 2), np.uint32), ValueError, A_BATCH.format("(3,)")),
]

ARRAYS = [
    (None, "x must be an array, got None."),
    ("text", "x must be an array, got 'text'."),
    ([1.0, None], "x must be an array, got [1.0, None]."),
    ({"x": 1.0}, "x must be an array, got {'x': 1.0}."),
]

DIMENSIONS = [
    (2, ValueError, OUT_OF_RANGE.format(2)),
    (-3, ValueError, OUT_OF_RANGE.format(-3)),
    ((0, 5), ValueError, OUT_OF_RANGE.format(5)),
    ((0, 0), ValueError, REPEATED.format("(0, 0)")),
    ((1, -1), ValueError, REPEATED.format("(1, -1)")),
    ([0, 0], ValueError, REPEATED.format("[0, 0]")),
    (0.0, TypeError, NO_DIMS.format("0.0")),
    ((0, 1.0), TypeError, NO_DIMS.format("(0, 1.0)")),
    (True, TypeError, NO_DIMS.format("True")),
    ("0", TypeError, NO_DIMS.format("'0'")),
    (None, TypeError, NO_DIMS.format("None")),
]

NOT_REAL = [
    (None, TypeError, "must be a real number, got None."),
    ("0.5", TypeError, "must be a real number, got '0.5'."),
    (True, TypeError, "must be a real number, got True."),
    (0.5j, TypeError, "must be a real number, got 0.5j."),
    (KEY, TypeError, "must be a real number, got key<fry>[]."),
    ([0.1, [0.2]], TypeError, "must be a real number, got [0.1, [0.2]]."),
    (np.ones(3) / 2, ValueError, SHAPE.format("(3,)")),
    (np.ones((1, 5, 33)) / 2, ValueError, SHAPE.format("(1, 5, 33)")),
]

RATES = [
    (-0.1, ValueError, f"must be in [0, 1], got -0.1. {SHARE}"),
    (1.5, ValueError, f"must be in [0, 1], got 1.5. {SHARE}"),
    (2, ValueError, f"must be in [0, 1], got 2.0. {SHARE}"),
    (math.inf, ValueError, f"must be in [0, 1], got inf. {SHARE}"),
    (math.nan, ValueError, f"must be in [0, 1], got nan. {SHARE}"),
    (np.array([[0.5], [1.5], [0], [0], [0]]), ValueError, None),
    *NOT_REAL,
]

MAGNITUDES = [
    (-0.1, ValueError, "must be finite and ≥ 0, got -0.1."),
    (math.inf, ValueError, "must be finite and ≥ 0, got inf."),
    (math.nan, ValueError, "must be finite and ≥ 0, got nan."),
    *NOT_REAL,
]

PARAMETERS = {"rate": RATES, "stddev": MAGNITUDES, "scale": MAGNITUDES}
WRONG = [
    (case, position, value, kind, text)
    for case in CASES
    for position, name in enumerate(case.names)
    for value, kind, text in PARAMETERS.get(name, ())
]


def all_params(case: Case) -> list[tuple[float, ...]]:
    return [case.params, *case.identity, *case.zeros]


def assert_raises(kind: type[Exception], text: str, call: Callable[[], Any]) -> None:
    with pytest.raises(kind) as error:
        call()
    assert str(error.value) == text
    assert error.value.__cause__ is None


@pytest.mark.parametrize(("key", "kind", "text"), KEYS)
@every_case
def test_keys(case: Case, key: Any, kind: type[Exception], text: str):
    for params in all_params(case):
        assert_raises(kind, f"{case.name}: {text}", lambda p=params: case(key, X, *p))


@pytest.mark.parametrize(("x", "text"), ARRAYS)
@every_case
def test_arrays(case: Case, x: Any, text: str):
    for params in all_params(case):
        assert_raises(TypeError, f"{case.name}: {text}", lambda p=params: case(KEY, x, *p))


@pytest.mark.parametrize(("dims", "kind", "text"), DIMENSIONS)
@every_case
def test_broadcast_dims(case: Case, dims: Any, kind: type[Exception], text: str):
    for params in all_params(case):
        assert_raises(
            kind,
            f"{case.name}: {text}",
            lambda p=params: case.function(KEY, X, *p, broadcast_dims=dims),
        )


@pytest.mark.parametrize(
    ("case", "position", "value", "kind", "text"),
    WRONG,
    ids=[f"{case.name}-{case.names[i]}-{type(value).__name__}" for case, i, value, _, _ in WRONG],
)
def test_parameters(case: Case, position: int, value: Any, kind: type[Exception], text: str | None):
    """The other parameters change nothing, ends included."""
    name = case.names[position]
    if text is None:
        shown = np.array2string(np.asarray(value, np.float64), threshold=8)
        text = f"must be in [0, 1], got {shown}. {SHARE}"
    for params in all_params(case):
        wrong = [*params[:position], value, *params[position + 1 :]]
        assert_raises(kind, f"{case.name}: {name} {text}", lambda w=wrong: case(KEY, X, *w))


@pytest.mark.parametrize("rate", [1, 1.0, np.float32(1), 1 - 2.0**-26])
def test_gaussian_dropout_at_rate_1(rate: Any):
    """1 − 2^-26 is not 1, but the float32 that it is rounded to is."""
    (case,) = (case for case in CASES if case.name == "gaussian_dropout")
    text = f"gaussian_dropout: rate must be in [0, 1), got {float(rate)}. {INFINITE}"
    assert_raises(ValueError, text, lambda: case(KEY, X, rate))
    assert jnp.isfinite(case(KEY, X, 1 - 2.0**-24)).all()


@every_case
def test_the_same_mistakes_under_jit_have_the_same_texts(case: Case):
    """What is known while tracing: dtypes, shapes, dimensions, numbers that are no arguments."""
    integers = jnp.ones((5, 33), jnp.int32)
    allowed = "floating or complex" if case.complex_too else "floating"
    assert_raises(
        TypeError,
        f"{case.name}: x must be {allowed}, got int32[5,33].",
        lambda: jax.jit(case)(KEY, integers),
    )
    assert_raises(
        ValueError,
        f"{case.name}: {A_BATCH.format('(3,)')}",
        lambda: jax.jit(case)(jax.random.split(KEY, 3), X),
    )
    wrong = jnp.ones(3) / 4
    for position, name in enumerate(case.names):
        params = [*case.params[:position], wrong, *case.params[position + 1 :]]
        assert_raises(
            ValueError,
            f"{case.name}: {name} {SHAPE.format('(3,)')}",
            lambda p=params: jax.jit(case)(KEY, X, *p),
        )


@every_case
def test_positional_and_keyword_arguments_are_as_documented(case: Case):
    named = dict(zip(case.names, case.params, strict=True))
    case.assert_equal(case.function(key=KEY, x=X, **named), case(KEY, X), X)
    with pytest.raises(TypeError, match="positional argument"):
        case.function(KEY, X, *case.params, (0,))
