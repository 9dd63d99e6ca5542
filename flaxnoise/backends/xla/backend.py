"""The xla backend, which supports every call on every platform."""

import jax

from flaxnoise.backends.contract import Backend, Call, Operands
from flaxnoise.backends.xla import elementwise, flat


class Xla(Backend):
    """The formula in jnp, which XLA fuses with neighbouring operations and partitions."""

    is_kernel = False

    def run(self, call: Call, operands: Operands) -> jax.Array:
        """As Backend.run."""
        if call.sharding == "local" and call.platform in ("cuda", "rocm"):
            return flat.affine(call, operands)
        return elementwise.affine(call, operands)
