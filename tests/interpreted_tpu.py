"""The TPU kernel, executed by Pallas's interpreters on the CPU."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from flaxnoise.backends import mosaic_tpu

# What the kernel computes is run but once, so that compiling it for the CPU is most of the time.
QUICK = {"xla_backend_optimization_level": 0}


def drawn(
    operands: Mapping[str, jax.Array],
    *,
    interpret: Any = True,
    global_shape: tuple[int, ...] | None = None,
    **params: Any,
) -> np.ndarray:
    """The form of the backend, on the operands of the primitive."""
    params |= {"interpret": interpret, "global_shape": global_shape}
    return np.asarray(_compiled(tuple(params.items()))(dict(operands)))


@functools.lru_cache
def _compiled(params: tuple[tuple[str, Any], ...]) -> Any:
    form = functools.partial(mosaic_tpu.affine, **dict(params))
    return jax.jit(form, compiler_options=QUICK)
