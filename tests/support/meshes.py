"""Meshes of the eight simulated devices, and the kernels that run on each of their shards.

The opaque kernel stands in for a compiled one on machines that cannot build it: the sharding rules
treat all kernels but xla alike. It records the shape of each shard that it is traced for.
"""

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from flaxnoise.backends import choice, cpu
from flaxnoise.backends.contract import Backend, Call, Operands
from flaxnoise.backends.xla import elementwise

AUTO, EXPLICIT = AxisType.Auto, AxisType.Explicit

both_kinds = pytest.mark.parametrize("kind", [AUTO, EXPLICIT], ids=["auto", "explicit"])
every_kernel = pytest.mark.parametrize("kernel", ["opaque", "cpu"], indirect=True)
xla_and_cpu = pytest.mark.parametrize("served_by", ["xla", "cpu"], indirect=True)
every_backend = pytest.mark.parametrize("served_by", ["xla", "opaque", "cpu"], indirect=True)

_COLLECTIVE = re.compile(r"= .*? (all-\w+|collective-\w+|reduce-scatter)(?:-start)?\(")
_KERNEL = re.compile(rf'= \w+\[([\d,]*)\].* custom-call\(.*custom_call_target="{cpu.TARGET}"')
_traced: list[tuple[int, ...]] = []


def mesh(kind: AxisType, **sizes: int) -> Mesh:
    """Returns a mesh with axes a and b, of 2 × 4 devices unless sizes are given."""
    sizes = sizes or {"a": 2, "b": 4}
    return jax.make_mesh(tuple(sizes.values()), tuple(sizes), axis_types=(kind,) * len(sizes))


def put(x: jax.typing.ArrayLike, mesh: Mesh, *spec: Any) -> jax.Array:
    """Shards x over a mesh."""
    return jax.device_put(x, NamedSharding(mesh, PartitionSpec(*spec)))


class Program:
    """A function compiled for the arrays that it is called with.

    Attributes:
        result: its result.
        collectives: names of its collective operations.
        shards: shapes of the noise that kernels drew on each device.
    """

    def __init__(self, function: Callable, *arguments: Any):
        _traced.clear()
        compiled = jax.jit(function).lower(*arguments).compile()
        text = compiled.as_text()
        self.result = compiled(*arguments)
        self.collectives = set(_COLLECTIVE.findall(text))
        found = {tuple(map(int, filter(None, s.split(",")))) for s in _KERNEL.findall(text)}
        self.shards = found | set(_traced)


class Opaque(Backend):
    """A backend with xla's formula that is treated like a kernel."""

    platforms = ("cpu",)
    is_exportable = False

    def run(self, call: Call, operands: Operands) -> jax.Array:
        _traced.append((*call.batch, *call.shape))
        return elementwise.affine(call, operands)


OPAQUE = Opaque()


def available(name: str) -> str:
    """Returns the kernel's name; skips the test if it is missing, with the reason."""
    reason = choice.BACKENDS[name].missing()
    if reason is not None:
        pytest.skip(f"{name} kernel: {reason}")
    return name


def bits_equal(x: jax.typing.ArrayLike, y: jax.typing.ArrayLike) -> bool:
    """Whether both have the same shape and values, none of them NaN."""
    return x.shape == y.shape and bool(jnp.array_equal(jax.device_get(x), jax.device_get(y)))
