"""The xla backend: serves every call, on every platform."""

import jax

from flaxnoise.backends.contract import Backend, Call, Operands
from flaxnoise.backends.xla import elementwise, flat


class Xla(Backend):
    """The formula in jnp: XLA fuses it with its neighbours, and partitions it by itself."""

    is_kernel = False

    def run(self, call: Call, operands: Operands) -> jax.Array:
        """As Backend.run."""
        if call.sharding == "whole" and call.platform in ("cuda", "rocm"):
            return flat.affine(call, operands)
        return elementwise.affine(call, operands)
