"""Values of the wrong type, for every argument of every public function, raise our error.

It names function and argument, says what is expected and shows what was given. If a value is
accepted, the result is an array or a tree of arrays.
"""

import decimal
import fractions
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from calls import CALLS, KEY, public, public_functions
from every import every

# Not functions of noise; tested elsewhere.
OTHERS = {"backend", "backends", "dropouts", "fold_in_axes", "local_shard", "partition_kernels"}


class Shaped:
    """Has shape and dtype, but is not an array."""

    dtype = "nonsense"
    shape = "odd"


WRONG = {
    "None": None,
    "str": "text",
    "bytes": b"ab",
    "dict": {"a": 1.0},
    "set": {1},
    "list": [1.0, None],
    "tuple": (1, 2),
    "object": object(),
    "shaped": Shaped(),
    "bool": True,
    "complex": 1j,
    "negative": -1,
    "fraction": fractions.Fraction(1, 2),
    "decimal": decimal.Decimal(1),
    "NaN": float("nan"),
    "2^70": 2**70,
    "a number of 5000 digits": 10**5000,
    "integers": np.ones((4, 3), int),
    "another shape": np.ones((7, 2)),
    "booleans": np.ones(3, bool),
    "strings": np.array(["a"]),
    "objects": np.array([None]),
    "complex numbers": jnp.ones(3, jnp.complex64),
    "key": KEY,
    "shape and dtype": jax.ShapeDtypeStruct((3,), jnp.float32),
    "nnx.Rngs": nnx.Rngs(0),
    "nnx.Param": nnx.Param(jnp.ones(3)),
}
# Arguments that are sizes: 2^70 is not of the wrong type.
COUNTS = {"depth", "samples"}
# Arguments that are users' functions, which raise their own errors.
FUNCTIONS = {"branch", "function", "where"}


def test_every_public_function_is_called():
    keys = {name for name in public_functions() if name.startswith("random.")} - set(CALLS)
    assert public_functions() - OTHERS - keys == set(CALLS)


def error_of(name: str, arguments: dict[str, Any]) -> Exception | None:
    def call() -> Any:
        result = public(name)(**arguments)
        return None if callable(result) else result

    try:
        jax.eval_shape(call)  # traced only: an accepted call need not be compiled
    except (TypeError, ValueError) as error:
        return error
    return None


@every("name", CALLS)
def test_a_thing_of_the_wrong_type_has_an_error_of_ours(name: str):
    owner, right = name.rpartition(".")[2], CALLS[name]
    refused = 0
    for argument in right:
        for kind, value in WRONG.items():
            if argument in FUNCTIONS and callable(value):
                continue
            if argument in COUNTS and isinstance(value, int) and value > 2**32:
                continue
            error = error_of(name, {**right, argument: value})
            if error is None:
                continue
            refused += 1
            text = str(error)
            where = f"{argument} = {kind}: {text}"
            assert text.startswith(f"{owner}: "), where
            assert argument in text or "must have the shape" in text, where
            assert "got " in text or "key is missing" in text, where
            assert len(text) < 300, where
            assert error.__cause__ is None, where
    assert refused >= 10 * (len(right) - 1)


def test_an_argument_without_a_check_is_noticed(monkeypatch: pytest.MonkeyPatch):
    def pepper(key: jax.Array, x: Any) -> jax.Array:
        return jnp.tanh(x)

    monkeypatch.setattr("flaxnoise.pepper", pepper, raising=False)
    monkeypatch.setitem(CALLS, "pepper", {"key": KEY, "x": 1.0})
    with pytest.raises(AssertionError, match="x = "):
        test_a_thing_of_the_wrong_type_has_an_error_of_ours.one_case("pepper")
