"""Every wrong argument has one message: the same in all functions, at every rate, under jit too."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from calls import CALLS, public
from cases import CASES, KEY, Case, every_case
from every import every

Mistake = tuple[Any, type[Exception], str]

NO_KEY = "key is missing. Pass one, such as jax.random.key(0)."
A_BATCH = "key must be a single key, got a batch of keys of shape {}. Map over them with jax.vmap."
A_KEY = "key must be a jax.random key, got"
SHARE = "It is the share of elements dropped, not kept."
INFINITE = "The standard deviation √(rate/(1 − rate)) of the noise is infinite at rate 1."
NO_DIMS = "broadcast_dims must be an integer or a sequence of them, got {}."
REPEATED = "broadcast_dims must not repeat a dimension, got {}."
SHAPE = "must be a scalar or broadcast to the shape {} of x, got the shape {}."
NO_SHAPE = "shape must be made of integers, got {}."

KEYS: list[Mistake] = [
    (None, TypeError, NO_KEY),
    (7, TypeError, f"{A_KEY} 7."),
    ("seed", TypeError, f"{A_KEY} 'seed'."),
    (np.uint32(7), TypeError, f"{A_KEY} uint32[]."),
    (np.ones(2, np.float32), TypeError, f"{A_KEY} float32[2]."),
    (np.ones(3, np.uint32), TypeError, f"{A_KEY} uint32[3]."),
    (nnx.Rngs(0), TypeError, f"{A_KEY} an nnx.Rngs. Pass rngs.dropout()."),
    (
        nnx.Rngs(0).default,
        TypeError,
        f"{A_KEY} an nnx.RngStream. Pass stream(), a call of the stream.",
    ),
    (
        nnx.Rngs(0).default.key,
        TypeError,
        f"{A_KEY} an nnx.RngKey. Pass its value, key[...].",
    ),
    (jax.random.split(KEY, 3), ValueError, A_BATCH.format("(3,)")),
    (jax.random.split(KEY, (2, 1)), ValueError, A_BATCH.format("(2, 1)")),
    (np.ones((3, 2), np.uint32), ValueError, A_BATCH.format("(3,)")),
]
ARRAYS: list[Mistake] = [
    (None, TypeError, "x must be an array, got None."),
    ("text", TypeError, "x must be an array, got 'text'."),
    ([1.0, None], TypeError, "x must be an array, got [1.0, None]."),
    ({1.0}, TypeError, "x must be an array, got {1.0}."),
    (2**70, TypeError, f"x must be an array, got {2**70}."),
]
DIMENSIONS: list[Mistake] = [
    (5, ValueError, "broadcast_dims must be dimensions of x, which has 5, got 5."),
    (-6, ValueError, "broadcast_dims must be dimensions of x, which has 5, got -6."),
    ((0, 9), ValueError, "broadcast_dims must be dimensions of x, which has 5, got 9."),
    ((0, 0), ValueError, REPEATED.format("(0, 0)")),
    ((1, -4), ValueError, REPEATED.format("(1, -4)")),
    ([0, 0], ValueError, REPEATED.format("[0, 0]")),
    (0.0, TypeError, NO_DIMS.format("0.0")),
    ((0, 1.0), TypeError, NO_DIMS.format("(0, 1.0)")),
    (True, TypeError, NO_DIMS.format("True")),
    ("0", TypeError, NO_DIMS.format("'0'")),
    (None, TypeError, NO_DIMS.format("None")),
    ({0: 1}, TypeError, NO_DIMS.format("{0: 1}")),
]
NOT_REAL: list[Mistake] = [
    (None, TypeError, "must be a real number, got None."),
    ("0.5", TypeError, "must be a real number, got '0.5'."),
    (True, TypeError, "must be a real number, got True."),
    (0.5j, TypeError, "must be a real number, got 0.5j."),
    (KEY, TypeError, "must be a real number, got key<fry>[]."),
    ([0.1, [0.2]], TypeError, "must be a real number, got [0.1, [0.2]]."),
]
RATES: list[Mistake] = [
    (-0.1, ValueError, f"must be in [0, 1], got -0.1. {SHARE}"),
    (1.5, ValueError, f"must be in [0, 1], got 1.5. {SHARE}"),
    (jnp.float32(1.5), ValueError, f"must be in [0, 1], got 1.5. {SHARE}"),
    (2, ValueError, f"must be in [0, 1], got 2.0. {SHARE}"),
    (10**400, ValueError, f"must be in [0, 1], got inf. {SHARE}"),
    (math.nan, ValueError, f"must be in [0, 1], got nan. {SHARE}"),
    *NOT_REAL,
]
MAGNITUDES: list[Mistake] = [
    (-0.1, ValueError, "must be finite and ≥ 0, got -0.1."),
    (math.inf, ValueError, "must be finite and ≥ 0, got inf."),
    (1e39, ValueError, "must be finite and ≥ 0, got 1e+39."),
    (math.nan, ValueError, "must be finite and ≥ 0, got nan."),
    *NOT_REAL,
]
FINITE: list[Mistake] = [
    (-math.inf, ValueError, "must be finite, got -inf."),
    (math.nan, ValueError, "must be finite, got nan."),
    *NOT_REAL,
]
NUMBERS: list[Mistake] = [(math.nan, ValueError, "must be a number, got nan."), *NOT_REAL]
SHAPES: list[Mistake] = [
    (2.0, TypeError, NO_SHAPE.format("2.0")),
    ((2, 0.5), TypeError, NO_SHAPE.format("(2, 0.5)")),
    ("ab", TypeError, NO_SHAPE.format("'ab'")),
    (True, TypeError, NO_SHAPE.format("True")),
    (None, TypeError, NO_SHAPE.format("None")),
    ((2, -1), ValueError, "shape must be made of sizes ≥ 0, got (2, -1)."),
]
DTYPES: list[Mistake] = [
    (dtype, TypeError, f"dtype must be floating, got {dtype}.")
    for dtype in ("int32", "bool", "complex64")
] + [("text", TypeError, "dtype must be floating, got 'text'.")]
FLAGS: list[Mistake] = [
    ("no", TypeError, "must be True or False, got 'no'."),
    (1, TypeError, "must be True or False, got 1."),
]


def named(name: str, mistakes: Sequence[Mistake]) -> list[Mistake]:
    return [(value, kind, f"{name} {text}") for value, kind, text in mistakes]


MISTAKES: dict[str, list[Mistake]] = {
    "key": KEYS,
    "x": ARRAYS,
    "weights": [(value, kind, text.replace("x", "weights", 1)) for value, kind, text in ARRAYS],
    "shape": SHAPES,
    "dtype": DTYPES,
    "broadcast_dims": DIMENSIONS,
    "rate": named("rate", RATES),
    "temperature": named("temperature", NOT_REAL),
    **{name: named(name, FINITE) for name in ("low", "high")},
    **{name: named(name, NUMBERS) for name in ("logit", "log_alpha")},
    **{
        name: named(name, MAGNITUDES)
        for name in ("stddev", "scale", "l1", "l2", "weight", "entropy")
    },
    **{name: named(name, FLAGS) for name in ("broadcast_dropout", "factorised")},
}
# Arguments whose name means something else in these functions.
PARTICULAR: dict[tuple[str, str], list[Mistake]] = {
    ("drop_path", "scale"): named("scale", FLAGS),
    ("dot_product_attention", "scale"): named("scale", FINITE[:2]),  # None is a default
    ("gradient_scale", "scale"): named("scale", FINITE),
    ("gradient_reversal", "scale"): named("scale", FINITE),
    ("gradient_scale", "x"): [ARRAYS[1]],  # others are trees
    ("gradient_reversal", "x"): [ARRAYS[1]],
    ("stop_gradient", "x"): [
        ("text", TypeError, "x must be an array or a tree of them, got 'text'.")
    ],
}


def assert_raises(kind: type[Exception], text: str, call: Callable[[], Any]) -> None:
    with pytest.raises(kind) as error:
        call()
    assert str(error.value) == text
    assert error.value.__cause__ is None


@every("name", CALLS)
def test_a_mistake_has_the_same_text_in_every_function(name: str):
    owner, right = name.rpartition(".")[2], CALLS[name]
    for argument in right:
        for value, kind, text in PARTICULAR.get((name, argument), MISTAKES.get(argument, [])):
            wrong = {**right, argument: value}
            assert_raises(kind, f"{owner}: {text}", lambda w=wrong: public(name)(**w))


@every_case
def test_mistakes_are_found_at_the_ends_too(case: Case):
    """A function that returns x or zeros still checks its other arguments."""
    x = CALLS[case.name]["x"]
    for params in (*case.identity, *case.zeros):
        for argument in ("key", "x", "broadcast_dims"):
            value, kind, text = MISTAKES[argument][0]
            given = {"key": KEY, "x": x, "broadcast_dims": (), argument: value}
            given |= dict(zip(case.names, params, strict=True))
            assert_raises(kind, f"{case.name}: {text}", lambda g=given: case.function(**g))
        for position, name in enumerate(case.names):
            value, kind, text = MISTAKES[name][0]
            wrong = [*params[:position], value, *params[position + 1 :]]
            assert_raises(kind, f"{case.name}: {text}", lambda w=wrong: case(KEY, x, *w))


@every_case
def test_shapes_of_parameters(case: Case):
    for position, name in enumerate(case.names):
        for shape in ((3,), (1, 5, 33)):
            wrong = np.full(shape, 0.25)
            params = [*case.params[:position], wrong, *case.params[position + 1 :]]
            text = f"{case.name}: {name} {SHAPE.format((5, 33), shape)}"
            assert_raises(ValueError, text, lambda p=params: case(KEY, jnp.ones((5, 33)), *p))


def test_a_wrong_rate_among_many_is_shown():
    rates = np.array([[0.5], [1.5]])
    text = f"dropout: rate must be in [0, 1], got [[0.5]\n [1.5]]. {SHARE}"
    assert_raises(ValueError, text, lambda: public("dropout")(KEY, jnp.ones((2, 3)), rates))


@every("rate", [1, 1.0, np.float32(1), 1 - 2.0**-26])
def test_gaussian_dropout_at_rate_1(rate: Any):
    """1 − 2^-26 is below 1, but rounds to 1 in float32."""
    (case,) = (case for case in CASES if case.name == "gaussian_dropout")
    text = f"gaussian_dropout: rate must be in [0, 1), got {float(rate)}. {INFINITE}"
    assert_raises(ValueError, text, lambda: case(KEY, jnp.ones((5, 33)), rate))
    assert jnp.isfinite(case(KEY, jnp.ones((5, 33)), 1 - 2.0**-24)).all()


@every_case
def test_the_same_mistakes_under_jit_have_the_same_texts(case: Case):
    """Everything known while tracing: dtypes, shapes, dimensions, static numbers."""
    x, integers = jnp.ones((5, 33)), jnp.ones((5, 33), jnp.int32)
    allowed = "floating or complex" if case.complex_too else "floating"
    assert_raises(
        TypeError,
        f"{case.name}: x must be {allowed}, got int32[5,33].",
        lambda: jax.jit(case)(KEY, integers),
    )
    assert_raises(
        ValueError,
        f"{case.name}: {A_BATCH.format('(3,)')}",
        lambda: jax.jit(case)(jax.random.split(KEY, 3), x),
    )
    wrong = jnp.ones(3) / 4
    for position, name in enumerate(case.names):
        params = [*case.params[:position], wrong, *case.params[position + 1 :]]
        assert_raises(
            ValueError,
            f"{case.name}: {name} {SHAPE.format((5, 33), (3,))}",
            lambda p=params: jax.jit(case)(KEY, x, *p),
        )


@every_case
def test_positional_and_keyword_arguments_are_as_documented(case: Case):
    x = jnp.ones((5, 33))
    named = dict(zip(case.names, case.params, strict=True))
    case.assert_equal(case.function(key=KEY, x=x, **named), case(KEY, x), x)
    with pytest.raises(TypeError, match="positional argument"):
        case.function(KEY, x, *case.params, (0,))


def test_a_shape_may_be_one_integer():
    for name in ("random.bits", "random.normal"):
        assert jnp.array_equal(public(name)(KEY, 7), public(name)(KEY, (7,)))
