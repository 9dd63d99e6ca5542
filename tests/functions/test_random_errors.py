"""Mistakes in the arguments of flaxnoise.random, each with its text."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from cases import KEY
from flaxnoise import random

DRAWS: dict[str, Callable[..., jax.Array]] = {
    "bits": random.bits,
    "keep_mask": lambda key, shape: random.keep_mask(key, shape, 0.5),
    "normal": random.normal,
    "uniform": random.uniform,
}
KEYS = [
    (None, TypeError, "key is missing. Pass one, such as jax.random.key(0)."),
    (7, TypeError, "key must be a jax.random key, got 7."),
    (
        jax.random.split(KEY, 3),
        ValueError,
        "key must be a single key, got a batch of keys of shape (3,). Map over them with jax.vmap.",
    ),
]
SHAPES = [
    (2.0, TypeError, "shape must be made of integers, got 2.0."),
    ((2, 0.5), TypeError, "shape must be made of integers, got (2, 0.5)."),
    ("ab", TypeError, "shape must be made of integers, got 'ab'."),
    (None, TypeError, "shape must be made of integers, got None."),
    ((2, -1), ValueError, "shape must be made of sizes ≥ 0, got (2, -1)."),
]
SHARE = "It is the share of elements dropped, not kept."


@pytest.mark.parametrize(("key", "kind", "text"), KEYS)
@pytest.mark.parametrize("name", DRAWS)
def test_keys(name: str, key: Any, kind: type[Exception], text: str):
    with pytest.raises(kind) as error:
        DRAWS[name](key, (2, 3))
    assert str(error.value) == f"{name}: {text}"


@pytest.mark.parametrize(("shape", "kind", "text"), SHAPES)
@pytest.mark.parametrize("name", DRAWS)
def test_shapes(name: str, shape: Any, kind: type[Exception], text: str):
    with pytest.raises(kind) as error:
        DRAWS[name](KEY, shape)
    assert str(error.value) == f"{name}: {text}"


@pytest.mark.parametrize("dtype", ["int32", "bool", "complex64"])
@pytest.mark.parametrize("name", ["normal", "uniform"])
def test_dtypes(name: str, dtype: str):
    with pytest.raises(TypeError) as error:
        DRAWS[name](KEY, (2, 3), dtype)
    assert str(error.value) == f"{name}: dtype must be floating, got {dtype}."


@pytest.mark.parametrize("rate", [-0.1, 1.5, float("nan")])
def test_rates(rate: float):
    text = f"rate must be in [0, 1], got {rate}. {SHARE}"
    with pytest.raises(ValueError, match="rate") as error:
        random.keep_mask(KEY, (2, 3), rate)
    assert str(error.value) == f"keep_mask: {text}"
    with pytest.raises(ValueError, match="rate") as error:
        random.realised_rate(rate)
    assert str(error.value) == f"realised_rate: {text}"


def test_shape_of_rates():
    with pytest.raises(ValueError, match="broadcast") as error:
        random.keep_mask(KEY, (2, 3), jnp.ones(2) / 2)
    assert str(error.value) == (
        "keep_mask: rate must be a scalar or broadcast to the shape (2, 3) of x, "
        "got the shape (2,)."
    )


@pytest.mark.parametrize("name", DRAWS)
def test_a_shape_may_be_one_integer(name: str):
    assert jnp.array_equal(DRAWS[name](KEY, 7), DRAWS[name](KEY, (7,)))
