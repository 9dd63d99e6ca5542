"""The mosaic_gpu backend in Pallas' interpreter of GPU kernels, on the CPU.

It detects races between programs (from jax 0.12 on) and raises where memory is read or written out
of bounds; memory that was never written holds NaN.
"""

import contextlib
import functools
from collections.abc import Iterator

import jax
from jax._src.pallas.mosaic_gpu.interpret import interpret_pallas_call
from jax._src.pallas.mosaic_gpu.interpret.params import InterpretGPUParams

import flaxnoise
from flaxnoise.backends import choice, mosaic_gpu

PARAMETERS = InterpretGPUParams(detect_races=True)
reset = interpret_pallas_call.reset_gpu_interpret_mode_state


def affine(operands: dict[str, jax.Array], **params: object) -> jax.Array:
    """The form of the backend, run by the interpreter."""
    form = functools.partial(mosaic_gpu.affine, interpret=PARAMETERS, **params)
    y = jax.block_until_ready(jax.jit(form)(operands))
    _assert_no_race()
    return y


@contextlib.contextmanager
def serving() -> Iterator[None]:
    """Lets the backend serve the CPU, through the interpreter, and forces it."""
    entry = choice.BACKENDS["mosaic_gpu"]
    form = functools.partial(mosaic_gpu.affine, interpret=PARAMETERS)
    choice.BACKENDS["mosaic_gpu"] = entry._replace(
        platforms=("cpu",), form=form, refuses=lambda **_: None
    )
    jax.clear_caches()
    try:
        with flaxnoise.backend("mosaic_gpu"):
            yield
        _assert_no_race()
    finally:
        choice.BACKENDS["mosaic_gpu"] = entry
        jax.clear_caches()


def _assert_no_race() -> None:
    with contextlib.suppress(AssertionError):  # no kernel ran: all of it was tail
        assert interpret_pallas_call.get_races().races_found is not True, "a race; see above"
