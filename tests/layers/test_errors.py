"""A wrong argument raises the same message in function, linen layer and nnx layer."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

import flaxnoise.nnx
from every import every
from layer_table import APIS, Row, every_row

KEY = jax.random.key(5)
X = jnp.ones((3, 5))
INTEGERS = jnp.ones((3, 5), jnp.int32)
OUT_OF_RANGE = {
    "rate": (-0.1, 1.5, jnp.nan),
    "stddev": (-0.1, jnp.inf, jnp.nan),
    "scale": (-0.1, jnp.inf, jnp.nan),
}


def mistakes(row: Row) -> list[tuple[Any, Any, dict[str, Any]]]:
    """Returns (key, x, arguments), each with one wrong value."""
    right = row.fields
    wrong = [
        {**right, name: value}
        for name in right
        for value in (None, "0.3", True, jnp.full(7, 0.3), *OUT_OF_RANGE.get(name, ()))
    ]
    dims = [{**right, "broadcast_dims": dims} for dims in (2, (0, 0), (0, -2), 0.5)]
    dims = dims if row.is_shared else []
    keys = [5, "key", jax.random.split(KEY, 3), jnp.zeros(3, jnp.uint32)]
    return [
        *((KEY, X, arguments) for arguments in wrong + dims),
        *((key, X, right) for key in keys),
        (KEY, INTEGERS, right),
        (KEY, INTEGERS > 0, right),
        (KEY, "x", right),
    ]


def text_of(call: Callable[..., Any], *arguments: Any, **more: Any) -> str:
    """Returns type and message of the error that a call raises."""
    with pytest.raises((TypeError, ValueError), match=": ") as raised:
        call(*arguments, **more)
    return f"{raised.type.__name__}: {raised.value}"


@every_row
def test_function_and_layers_agree_on_the_text_of_every_mistake(row: Row):
    for key, x, arguments in mistakes(row):
        text = text_of(row.function, key, x, **arguments)
        assert f"Error: {row.case.name}: " in text
        for api in APIS:
            run = functools.partial(api.run, row, key=key, fields=arguments)
            assert text_of(run, x) == text
            if not isinstance(x, str):
                assert text_of(jax.jit(run), x) == text


@every_row
def test_parameters_of_the_call_are_checked_alike(row: Row):
    for name in row.fields:
        for value in ("0.3", *OUT_OF_RANGE.get(name, ())):
            text = text_of(row.function, KEY, X, **{**row.fields, name: value})
            assert f"{name} must be" in text
            for api in APIS:
                assert text_of(api.run, row, X, stream=KEY, **{name: value}) == text


@every_row
def test_integers_raise_at_every_rate_and_without_a_stream(row: Row):
    identity = () if row.name == "Dropout" else row.case.identity
    for params in (row.case.params, *identity):
        for api in APIS:
            with pytest.raises(TypeError, match=rf"^{row.case.name}: x must be floating"):
                api.run(row, INTEGERS, fields=row.fields_of(params), key=KEY)
    if row.name == "Dropout":  # at rate 0 it accepts them, like Flax's
        for api in APIS:
            assert api.run(row, INTEGERS, fields={"rate": 0.0}) is INTEGERS
        return
    for params in row.case.identity:
        for api in APIS:
            with pytest.raises(TypeError, match=rf"^{row.case.name}: x must be floating"):
                api.run(row, INTEGERS, fields=row.fields_of(params))


def test_nnx_says_what_is_missing_and_where_to_give_it():
    layer = flaxnoise.nnx.Dropout(0.3, deterministic=None)
    assert text_of(layer, X) == (
        "ValueError: Dropout: deterministic must be given to the constructor, to the call or by "
        "nnx.view, got None from each."
    )
    layer.train()
    assert text_of(layer, X) == (
        "ValueError: Dropout: rngs must be given to the constructor or to the call, or a key to "
        "the call, got none of them. In evaluation, pass deterministic=True."
    )


@every("rngs", [5, "dropout", {"dropout": KEY}, nnx.Dropout], ids=repr)
def test_nnx_refuses_other_kinds_of_rngs(rngs: Any):
    text = (
        "TypeError: Dropout: rngs must be an nnx.Rngs, an nnx.RngStream or a key, "
        f"got {type(rngs).__name__}."
    )
    layer = flaxnoise.nnx.Dropout
    assert text_of(layer, 0.3, rngs=rngs) == text
    assert text_of(layer(0.3, rngs=nnx.Rngs(0)), X, rngs=rngs) == text
