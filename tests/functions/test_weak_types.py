"""A weakly typed x gives a weakly typed result, so that bfloat16 beside it stays bfloat16."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from calls import CALLS, public
from every import every

ENDS = {
    "rate": (0.0, 1.0),
    "stddev": (0.0,),
    "scale": (0.0,),
    "factorised": (False,),
    "where": (True, lambda path: True),
}
ARRAYS = {
    name: argument
    for name, call in CALLS.items()
    for argument in ("x", "weights", "ids")
    if argument in call
}


def calls(name: str) -> list[dict[str, Any]]:
    """Returns the arguments of the table's call, and those with each parameter at its ends."""
    call = dict(CALLS[name])
    if name == "noisy_dense":
        call |= {
            argument: jnp.full(value.shape, 0.5)
            for argument, value in call.items()
            if "kernel" in argument or "bias" in argument
        }
    others = [
        {**call, argument: end}
        for argument, ends in ENDS.items()
        if argument in call and (name, argument) != ("drop_path", "scale")
        for end in ends
        if (name, end) != ("gaussian_dropout", 1.0)
    ]
    return [call, *others]


@every("name", ARRAYS)
def test_weak_types_are_kept(name: str):
    argument = ARRAYS[name]
    strong = CALLS[name][argument]
    weak = jnp.full(strong.shape, 3 if argument == "ids" else 1.5)
    for call in calls(name):
        rest = {each: value for each, value in call.items() if each != argument}
        function = functools.partial(public(name), **rest)
        for x in (weak, strong):
            y = jax.eval_shape(lambda x, f=function: f(**{argument: x}), x)
            assert y.weak_type == (x is weak), f"{call}"
        assert function(**{argument: weak}).dtype == weak.dtype


def test_a_model_in_bfloat16_stays_in_bfloat16():
    scale = jnp.ones(33, jnp.bfloat16)
    mask = jnp.where(jnp.arange(33) > 7, 1.0, 0.0)
    for name in ("dropout", "concrete_dropout", "gaussian_noise"):
        rest = {each: value for each, value in CALLS[name].items() if each != "x"}
        assert (public(name)(x=mask, **rest) * scale).dtype == jnp.bfloat16


def test_without_the_primitive_of_jax_results_are_right_and_strong(monkeypatch: pytest.MonkeyPatch):
    call = {**CALLS["concrete_dropout"], "x": jnp.full((7,), 1.5)}
    expected = public("concrete_dropout")(**call)
    jax.clear_caches()
    monkeypatch.delattr(jax.lax, "convert_element_type_p")
    y = public("concrete_dropout")(**call)
    assert not y.weak_type
    assert jnp.array_equal(y, expected)
    jax.clear_caches()
