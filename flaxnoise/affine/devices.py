"""The devices that a program is for, as far as jax tells them to the lowering of a primitive.

It does so where a program has a primitive of a certain private list. ``asks_devices_p``, which does
nothing, is on it: it stands before a call whose kernel would end the process on some devices.
"""

from typing import Any

import jax
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir

asks_devices_p = Primitive("flaxnoise_asks_devices")
asks_devices_p.def_impl(lambda key: key)
asks_devices_p.def_abstract_eval(lambda key: key)
batching.primitive_batchers[asks_devices_p] = lambda keys, dims: (
    asks_devices_p.bind(*keys),
    dims[0],
)
mlir.register_lowering(asks_devices_p, lambda ctx, key: [key])


def asks_devices(key: jax.Array) -> jax.Array:
    """The key; in a program with it, jax tells the devices."""
    return asks_devices_p.bind(key)


def told_devices(ctx: mlir.LoweringRuleContext) -> tuple[Any, ...]:
    """The devices that the program at hand is for, or none if jax does not tell."""
    axes = ctx.module_context.axis_context
    mesh = getattr(axes, "mesh", None)
    if isinstance(mesh, jax.sharding.Mesh):
        return tuple(mesh.devices.flat)
    return tuple(getattr(axes, "device_assignment", None) or ())


def primitives_that_need_devices() -> set[Any] | None:
    """jax's private list of primitives that are told the devices when they are lowered."""
    try:
        from jax._src.dispatch import prim_requires_devices_during_lowering
    except ImportError:
        return None
    return prim_requires_devices_during_lowering


_registered = primitives_that_need_devices()
if _registered is not None:
    _registered.add(asks_devices_p)
