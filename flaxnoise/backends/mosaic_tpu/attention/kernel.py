"""Flash attention with dropout for TPUs: which calls it serves.

The kernel is opt-in: ``with flaxnoise.backend("mosaic_tpu"):``. It has been compiled for TPUs and
interpreted, but has not run on a device.
"""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp

from flaxnoise.backends.attention import AttentionCall
from flaxnoise.backends.mosaic_tpu.attention.layout import MOST_KEYS


@dataclasses.dataclass(frozen=True)
class TpuAttention:
    """Both passes.

    Attributes:
        interpret: as in pallas_call; runs the kernels on any platform.
    """

    interpret: Any = False

    def refuses(self, call: AttentionCall) -> str | None:
        """As Kernel.refuses."""
        q, k, v, bias = call.arrays
        dtype = jnp.dtype(q.dtype)
        if dtype not in (jnp.float32, jnp.bfloat16):
            return f"its kernel has float32 and bfloat16, not {dtype.name}."
        if bias is not None and bias.dtype == jnp.float64:
            return "its kernel has no float64, the dtype of bias."
        if call.plan.global_shape[3] > MOST_KEYS:
            return f"it has at most {MOST_KEYS} keys."
        if any(math.prod(own.shape) == 0 for own in (q, k, v)):
            return "an array has no elements."
        return None

    def forward(self, plan: Any, arrays: Any, given: Any) -> Any:
        """As Kernel.forward."""
        from flaxnoise.backends.mosaic_tpu.attention.forward import forward  # importing is slow

        with jax.enable_x64(False):
            return forward(plan, arrays, given, interpret=self.interpret)

    def backward(self, plan: Any, arrays: Any, given: Any, results: Any, cotangents: Any) -> Any:
        """As Kernel.backward."""
        from flaxnoise.backends.mosaic_tpu.attention.backward import backward  # importing is slow

        with jax.enable_x64(False):
            run = functools.partial(backward, interpret=self.interpret)
            return run(plan, arrays, given, results, cotangents)
