"""Rivals that are no functions of a jax key: NumPy and torch, and Keras's layers with state."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from bench import modules
from bench.programs import Heat, Program, jax_program

Build = Callable[[Heat], Program]


def keras_layer(name: str, parameter: float) -> Build:
    """A layer of Keras on JAX, as its users jit it: state in, state out."""

    def build(heat: Heat) -> Program:
        layer = getattr(modules.load("keras").layers, name)(parameter, seed=1, dtype=heat.dtype)
        layer.build(heat.shape)

        def function(key: jax.Array, x: jax.Array) -> jax.Array:
            return layer.stateless_call([], [jax.random.key_data(key)], x, training=True)[0]

        return jax_program(function, heat)

    return build


def torch_program(function: Callable[[Any, Any, bool], Any], in_place: bool = False) -> Build:
    """(torch, x, whether in place) -> y. torch is called as it is, without torch.compile."""

    def build(heat: Heat) -> Program:
        torch = modules.load("torch")
        _refuse_accelerators()
        if heat.mode == "donated" and not in_place:
            raise NotImplementedError("has no form in place")
        torch.manual_seed(1)
        x = torch.from_numpy(heat.x()).to(getattr(torch, heat.dtype))
        if heat.direction == "gradient":
            dy = x.clone()
            x.requires_grad_()

            def both() -> tuple[Any, Any]:
                y = function(torch, x, False)
                return y.detach(), torch.autograd.grad(y, x, dy)[0]

            return Program(both, lambda: _numbers(both()), {})
        if heat.mode == "donated":
            fresh = x.clone()
            return Program(
                lambda: function(torch, x, True),
                lambda: _numbers((function(torch, fresh, True),)),
                {},
            )
        return Program(
            lambda: function(torch, x, False), lambda: _numbers((function(torch, x, False),)), {}
        )

    return build


def numpy_program(function: Callable[[np.random.Generator, np.ndarray], np.ndarray]) -> Build:
    """(generator, x) -> y, on one thread."""

    def build(heat: Heat) -> Program:
        _refuse_accelerators()
        if heat.direction == "gradient":
            raise NotImplementedError("has no gradients")
        if heat.dtype != "float32":
            raise NotImplementedError(f"has no random {heat.dtype}")
        if heat.mode == "donated":
            raise NotImplementedError("has no form in place")
        generator = np.random.Generator(np.random.SFC64(1))
        x = heat.x()
        return Program(lambda: function(generator, x), lambda: (function(generator, x),), {})

    return build


def _refuse_accelerators() -> None:
    if jax.default_backend() != "cpu":
        raise NotImplementedError("is timed on CPUs alone")


def _numbers(results: tuple[Any, ...]) -> tuple[np.ndarray, ...]:
    return tuple(result.detach().float().numpy() for result in results)
