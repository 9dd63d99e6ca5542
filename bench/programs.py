"""What is called and timed: a function of (key, x), compiled for a heat."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bench.timing import seconds

Function = Callable[[jax.Array, jax.Array], jax.Array]


class Heat(NamedTuple):
    """The conditions under which all that do the same work are timed in turn."""

    shape: tuple[int, ...]
    dtype: str = "float32"
    direction: str = "forward"  # or gradient: y, and dx for a dy that is given
    mode: str = "jit"  # or eager; or donated: y takes the memory of x

    @property
    def elements(self) -> int:
        return int(np.prod(self.shape))

    def x(self) -> np.ndarray:
        """Numbers from 1 to 2, as the laws want them."""
        return np.linspace(1, 2, self.elements, dtype=np.float32).reshape(self.shape)


class Program(NamedTuple):
    """Ready to run.

    Attributes:
        run: does it once, or puts it in the device's queue; gives the result.
        arrays: (y,), or (y, dx) with a gradient; for the gate.
        facts: what is known about it besides its times.
    """

    run: Callable[[], object]
    arrays: Callable[[], tuple[np.ndarray, ...]]
    facts: dict[str, Any]


def with_gradient(function: Function) -> Callable[..., tuple[jax.Array, jax.Array]]:
    """(key, x, dy) -> (y, dx)."""

    def both(key: jax.Array, x: jax.Array, dy: jax.Array) -> tuple[jax.Array, jax.Array]:
        y, pull = jax.vjp(lambda x: function(key, x), x)
        return y, pull(dy)[0]

    return both


def jax_program(function: Function, heat: Heat, impl: str | None = None) -> Program:
    """Compiles it, and reads what the compiler says about memory.

    Args:
        function: (key, x) -> y.
        heat: the conditions.
        impl: of the key; by default jax's.
    """
    key = jax.random.key(1, impl=impl)
    x = _input(heat.shape, heat.dtype)
    facts: dict[str, Any] = {"kept": kept(function, key, x)} if heat.mode == "jit" else {}
    arguments = (key, x)
    if heat.direction == "gradient":
        function, arguments = with_gradient(function), (key, x, x)
    if heat.mode == "eager":
        return _program(lambda: function(*arguments), facts)
    donated = (1,) if heat.mode == "donated" else ()
    lowered = jax.jit(function, donate_argnums=donated)
    box: list[Any] = []
    wall, _ = seconds(lambda: box.append(lowered.lower(*arguments).compile()))
    compiled = box[0]
    memory = compiled.memory_analysis()
    facts["compile"] = wall
    if memory is not None:
        facts["temporary"] = memory.temp_size_in_bytes
        facts["moved"] = memory.argument_size_in_bytes + memory.output_size_in_bytes
    if heat.mode != "donated":
        return _program(lambda: compiled(*arguments), facts)
    held = [compiled(key, jnp.copy(x))]

    def again() -> jax.Array:
        held[0] = compiled(key, held[0])
        return held[0]

    return _program(again, facts)._replace(arrays=lambda: _numbers(compiled(key, jnp.copy(x))))


@functools.lru_cache(maxsize=2)
def _input(shape: tuple[int, ...], dtype: str) -> jax.Array:
    """One array for all that are timed in turn, so that they find it in the same cache."""
    return jnp.asarray(Heat(shape).x(), dtype)


def kept(function: Function, key: jax.Array, x: jax.Array) -> float:
    """Bytes an element that a backward pass of its own would be given: saved for it by jit."""
    pull = jax.eval_shape(lambda x: jax.vjp(jax.jit(lambda x: function(key, x)), x)[1], x)
    leaves = [leaf for leaf in jax.tree.leaves(pull) if hasattr(leaf, "dtype")]
    return sum(leaf.size * leaf.dtype.itemsize for leaf in leaves if leaf.size > 8) / x.size


def _program(call: Callable[[], Any], facts: dict[str, Any]) -> Program:
    """On an accelerator, calls are put in a queue, and the last one is waited for."""
    on_cpu = jax.default_backend() == "cpu"
    run = (lambda: jax.block_until_ready(call())) if on_cpu else call
    return Program(run, lambda: _numbers(call()), facts)


def _numbers(result: Any) -> tuple[np.ndarray, ...]:
    return tuple(np.asarray(y.astype(jnp.float32)) for y in jax.tree.leaves(result))
