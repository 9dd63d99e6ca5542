"""The TPU kernel, executed by Pallas's interpreters on the CPU."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax._src.pallas.mosaic.interpret import interpret_pallas_call
from jax.experimental.pallas import tpu as pltpu

from flaxnoise.backends.mosaic_tpu.backend import MosaicTpu
from forms import form as form_of

# Each program runs once, so compiling it for the CPU takes most of the time.
QUICK = {"xla_backend_optimization_level": 0}

# Two cores share the blocks, since accesses of a single core are never a race.
CHECKED = pltpu.InterpretParams(
    detect_races=True,
    num_cores_or_threads=2,
    out_of_bounds_reads="raise",
    uninitialized_memory="nan",
)
reset = pltpu.reset_tpu_interpret_mode_state


def drawn(
    operands: Mapping[str, jax.Array],
    *,
    interpret: Any = True,
    global_shape: tuple[int, ...] | None = None,
    **params: Any,
) -> np.ndarray:
    """Runs the form of the backend on operands of the primitive."""
    params |= {"interpret": interpret, "global_shape": global_shape}
    return np.asarray(_compiled(tuple(params.items()))(dict(operands)))


def checked(operands: Mapping[str, jax.Array], **params: Any) -> np.ndarray:
    """Runs the form in the memory-checking interpreter; the program is compiled each time."""
    return np.asarray(checked_run(form_of(MosaicTpu(CHECKED), **params), dict(operands)))


def checked_run(program: Callable[..., Any], *arguments: Any) -> Any:
    """Compiles and runs a program that has a kernel in the memory-checking interpreter.

    Uninitialised memory holds NaN, or the largest integer.

    Raises:
        AssertionError: no kernel ran.
        RuntimeError: the interpreter detected a race, or a read out of bounds.
    """
    reset()
    y = jax.block_until_ready(jax.jit(program, compiler_options=QUICK)(*arguments))
    assert interpret_pallas_call.races is not None, "no kernel ran"
    # The interpreter of jax 0.10 continues after a race.
    if interpret_pallas_call.races.races_found:
        raise RuntimeError("a race: what the interpreter printed says where")
    return y


@functools.lru_cache
def _compiled(params: tuple[tuple[str, Any], ...]) -> Any:
    static = dict(params)
    form = form_of(MosaicTpu(static.pop("interpret")), **static)
    return jax.jit(form, compiler_options=QUICK)
