"""A primitive that makes jax pass a program's devices to lowering rules.

jax passes them if the program contains a primitive of a private set. ``asks_devices_p`` is an
identity in that set. It is bound before a call whose kernel would abort the process on some
devices, so that the backend can check the devices and refuse.
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
    """The key, unchanged; lowering rules of the program then get its devices."""
    return asks_devices_p.bind(key)


_registered = primitives_that_need_devices()
if _registered is not None:
    _registered.add(asks_devices_p)
