"""same_for_every_key: at the declared parameters the result does not depend on the key."""

import inspect
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

import flaxnoise
from closeness import assert_same_bits
from every import every
from flaxnoise.functional.certain import is_certain, same_for_every_key

X = jnp.linspace(-2, 2, 270).reshape(2, 3, 3, 3, 5)
ORDINARY = {"rate": 0.3, "stddev": 0.3, "scale": 0.3, "mask_id": -7, "branch": jnp.tanh}
DECLARED = {
    name: vars(function)["same_for_every_key_at"]
    for name, function in vars(flaxnoise).items()
    if inspect.isfunction(function) and "same_for_every_key_at" in vars(function)
}


def of_two_keys(name: str, given: Mapping[str, Any]) -> tuple[jax.Array, jax.Array]:
    """Returns results under two keys, or gradients if the noise only acts on these."""
    function = getattr(flaxnoise, name)
    takes = inspect.signature(function).parameters
    options = {
        each: value
        for each, value in {**ORDINARY, **given}.items()
        if each in takes and takes[each].default is not True  # drop_path's scale is a flag
    }
    (x_name,) = {"x", "ids", "weights"} & set(takes)
    x = jnp.arange(X.size).reshape(X.shape) if x_name == "ids" else X

    def call(seed: int) -> jax.Array:
        def run(x: jax.Array) -> jax.Array:
            return function(key=jax.random.key(seed), **{x_name: x}, **options)

        return jax.grad(lambda x: run(x).sum())(x) if name == "gradient_noise" else run(x)

    return call(0), call(1)


@every("name", DECLARED)
def test_at_declared_numbers_two_keys_give_the_same_and_elsewhere_not(name: str):
    function = getattr(flaxnoise, name)
    one, other = of_two_keys(name, {})
    assert not is_certain(function, ORDINARY)
    assert not jnp.array_equal(one, other)
    for argument, numbers in DECLARED[name].items():
        for number in numbers:
            assert is_certain(function, {**ORDINARY, argument: number})
            assert_same_bits(*of_two_keys(name, {argument: number}))


def test_every_function_with_a_rate_a_stddev_or_a_scale_declares_it():
    for name, function in vars(flaxnoise).items():
        takes = inspect.signature(function).parameters if inspect.isfunction(function) else {}
        strengths = [
            argument
            for argument in ("rate", "stddev", "scale")
            if "key" in takes
            and argument in takes
            and takes[argument].default is not True
            and "query" not in takes  # attention accepts None as a key if it needs none
        ]
        missing = [argument for argument in strengths if 0 not in DECLARED[name][argument]]
        assert not missing, f"{name} does not declare 0 for {missing}"


def test_arrays_and_functions_without_a_declaration_are_never_certain():
    def function(key: jax.Array, x: jax.Array, rate: float) -> jax.Array:
        """A noise."""
        return x

    assert not is_certain(function, {"rate": 0})
    declared = same_for_every_key(rate=(0,))(function)
    assert declared is function
    assert is_certain(declared, {"rate": 0.0})
    assert not is_certain(declared, {"rate": jnp.zeros(())})
