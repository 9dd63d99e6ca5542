"""The mosaic_gpu backend in Pallas' interpreter of GPU kernels, on the CPU.

It detects races between programs (from jax 0.12 on), and raises if memory is read or written out of
bounds; uninitialised memory holds NaN.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
from jax._src.pallas.mosaic_gpu.interpret import interpret_pallas_call
from jax._src.pallas.mosaic_gpu.interpret.params import InterpretGPUParams
from jax.extend.core import jaxprs_in_params

from flaxnoise.affine import affine_p
from flaxnoise.backends.mosaic_gpu.backend import MosaicGpu
from forms import form as form_of

PARAMETERS = InterpretGPUParams(detect_races=True)
reset = interpret_pallas_call.reset_gpu_interpret_mode_state


KERNELS = {"mpmd_map", "pallas_call"}  # primitives; the first is what plgpu.kernel binds
SMALLEST_TILE = 1024  # not imported: the tests check for which sizes the backend uses a kernel


def affine(operands: dict[str, jax.Array], **params: Any) -> jax.Array:
    """Runs the form of the backend in the interpreter.

    Raises:
        AssertionError: the form lacks an expected kernel, or the kernel did not run.
        RuntimeError: the interpreter detected a race.
    """
    form = jax.jit(form_of(MosaicGpu(PARAMETERS), **params))
    expected = _should_have_kernel(operands, params["shape"])
    if expected:
        found = KERNELS.intersection(primitives(form.trace(operands).jaxpr.jaxpr))
        assert found, "the form has no kernel"
    reset()
    y = jax.block_until_ready(form(operands))
    # Fails if no kernel ran since the reset.
    if expected and interpret_pallas_call.get_races().races_found:
        raise RuntimeError("a race: what the interpreter printed says where")
    return y


def _should_have_kernel(operands: Mapping[str, jax.Array], shape: Sequence[int]) -> bool:
    noisy = not operands.keys() & set("abcd") or bool(operands.keys() & {"b", "d"})
    has_elements = all(value.size for value in operands.values())
    return noisy and has_elements and math.prod(shape) >= SMALLEST_TILE


def primitives(jaxpr: Any) -> Iterator[str]:
    for equation in jaxpr.eqns:
        yield equation.primitive.name
        for inner in jaxprs_in_params(equation.params):
            yield from primitives(inner)


def run(function: Callable[..., jax.Array], *arguments: jax.Array) -> jax.Array:
    """Evaluates a function with its calls of the primitive replaced by the interpreter's.

    The interpreter has effects, which the lowering of a primitive cannot have.
    """
    traced = jax.make_jaxpr(function)(*arguments)
    (y,) = _evaluate(traced.jaxpr, traced.consts, arguments)
    return y


def _evaluate(jaxpr: Any, consts: Sequence[Any], arguments: Sequence[Any]) -> list[Any]:
    values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *arguments], strict=True))

    def value_of(atom: Any) -> Any:
        return atom.val if hasattr(atom, "val") else values[atom]

    for equation in jaxpr.eqns:
        given = [value_of(atom) for atom in equation.invars]
        params = dict(equation.params)
        if equation.primitive is affine_p:
            names = params.pop("names")
            del params["backend"], params["sharding"]
            found = [affine(dict(zip(names, given, strict=True)), **params)]
        elif "jaxpr" in params:
            found = _evaluate(params["jaxpr"].jaxpr, params["jaxpr"].consts, given)
        else:
            found = equation.primitive.bind(*given, **params)
            found = found if equation.primitive.multiple_results else [found]
        values |= zip(equation.outvars, found, strict=True)
    return [value_of(atom) for atom in jaxpr.outvars]
