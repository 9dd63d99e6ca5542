"""The devices that a program is for, as far as jax tells them to the lowering of a primitive.

It does so where a program has a primitive of a certain private list. ``asks_devices_p``, which does
nothing, is on it: it stands before a call whose kernel would end the process on some devices.
"""

import jax
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir

from flaxnoise.affine.private import primitives_that_need_devices

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


_registered = primitives_that_need_devices()
if _registered is not None:
    _registered.add(asks_devices_p)
