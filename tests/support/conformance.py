"""Adapters of the backends for the suite of tests/backends, with all it knows of their internals.

Each backend is a function (form, values of several calls) -> one list of results per variant of its
kernel; it fails if its kernel is not what computes them.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import interpreted_gpu
import interpreted_tpu
from affine_reference import affine as reference
from affine_reference import assert_conforms
from drawn_calls import Form
from flaxnoise.affine import affine
from flaxnoise.backends import choice
from flaxnoise.backends.contract import Call, refusal
from flaxnoise.backends.cpu import TARGET
from flaxnoise.backends.cpu import backend as cpu
from flaxnoise.backends.cpu import library as cpu_library
from flaxnoise.backends.mosaic_gpu import kernel as mosaic_gpu_kernel
from flaxnoise.backends.mosaic_tpu import backend as mosaic_tpu
from flaxnoise.backends.mosaic_tpu import kernel as mosaic_tpu_kernel
from flaxnoise.backends.xla import combine as xla_combine
from flaxnoise.backends.xla import elementwise, mapped
from flaxnoise.backends.xla.backend import Xla
from flaxnoise.stream import noise
from forms import form as form_of

Values = dict[str, np.ndarray]
Results = dict[str, list[np.ndarray]]
Backend = Callable[[Form, Sequence[Values]], Results]


def check(backend: Backend, form: Form, seed: int, count: int = 6) -> None:
    """Asserts that a backend agrees with the reference in ``count`` calls with values of a seed."""
    calls = [form.values(one) for one in np.random.SeedSequence(seed).spawn(count)]
    with jax.enable_x64(form.is_64_bit):
        results = backend(form, calls)
    for way, found in results.items():
        for values, y in zip(calls, found, strict=True):
            try:
                assert_conforms(y, reference(values, **form.params))
            except AssertionError as error:
                raise AssertionError(f"{way}: {error}") from None


def refused(name: str, form: Form) -> str | None:
    """Returns why a backend refuses calls of a form, or None."""
    avals = {n: jax.ShapeDtypeStruct(shape, dtype) for n, shape, dtype in form.operands}
    backend = choice.BACKENDS[name]
    platform = next(iter(backend.platforms), "cpu")
    return refusal(backend, Call.of(avals, platform=platform, **_all_params(form)))


def _all_params(form: Form) -> dict[str, Any]:
    """Returns all parameters of a backend, some of which the primitive derives."""
    traced = jax.make_jaxpr(functools.partial(affine, **form.params))(form.values(0))
    (equation,) = traced.jaxpr.eqns
    own = ("names", "backend", "sharding")
    return {name: value for name, value in equation.params.items() if name not in own}


def xla(form: Form, calls: Sequence[Values]) -> Results:
    """The xla backend, through the primitive."""
    return {"xla": _run(_through_primitive(form, "xla"), calls)}


def xla_on_gpus(form: Form, calls: Sequence[Values]) -> Results:
    """The one-dimensional form of the xla backend, which is used on GPUs."""
    return {"xla_flat": _run(_flat(form), calls)}


def cpu_targets(form: Form, calls: Sequence[Values]) -> Results:
    """The C++ kernel with each SIMD target of this machine."""
    program = _through_primitive(form, "cpu")
    before = cpu_library.simd_target()
    results = {}
    for target in cpu_library.simd_targets():
        cpu_library.use_simd_target(target)
        results[target] = _run(program, calls)
    cpu_library.use_simd_target(before)
    return results


def gpu_interpreted(form: Form, calls: Sequence[Values]) -> Results:
    """The kernel for GPUs; interpreted_gpu.affine asserts that it runs."""
    params = _all_params(form)
    found = [np.asarray(interpreted_gpu.affine(dict(each), **params)) for each in calls]
    return {"mosaic_gpu": found}


def tpu_interpreted(form: Form, calls: Sequence[Values]) -> Results:
    """The kernel for TPUs."""
    return {"mosaic_tpu": _run(_on_registers(form), calls)}


@functools.lru_cache(maxsize=256)
def _through_primitive(form: Form, backend: str) -> Any:
    call = functools.partial(affine, backend=backend, **form.params)
    lowered = jax.jit(call).lower(form.values(0))
    has_kernel = f"custom_call @{TARGET}" in lowered.as_text()
    assert has_kernel == (backend == "cpu"), f"{backend} does not serve"
    return lowered.compile()


@functools.lru_cache(maxsize=256)
def _flat(form: Form) -> Any:
    return jax.jit(form_of(Xla(), platform="cuda", **_all_params(form)))


@functools.lru_cache(maxsize=256)
def _on_registers(form: Form) -> Any:
    call = form_of(mosaic_tpu.MosaicTpu(interpret=True), **_all_params(form))
    program = jax.jit(call, compiler_options=interpreted_tpu.QUICK).trace(form.values(0))
    has_elements = all(math.prod(shape) for _, shape, _ in form.operands)
    found = "pallas_call" in interpreted_gpu.primitives(program.jaxpr.jaxpr)
    assert found or not has_elements, "no kernel runs"
    return program.lower().compile()


def forget() -> None:
    """Clears compiled programs, so that a planted defect takes effect, or is removed."""
    for program in (_through_primitive, _flat, _on_registers):
        program.cache_clear()
    jax.clear_caches()


def _run(program: Callable[..., jax.Array], calls: Sequence[Values]) -> list[np.ndarray]:
    return [np.asarray(program(values)) for values in calls]


def _signed(threshold: jax.Array) -> jax.Array:
    """Planted: thresholds compared as signed integers, so that 2^31 is below all words."""
    return jnp.where(threshold >> jnp.uint32(31) != 0, jnp.uint32(0), threshold)


def _exchanged(values: Mapping[str, Any], one: str, other: str) -> dict[str, Any]:
    names = {one: other, other: one}
    return {names.get(name, name): value for name, value in values.items()}


def _from_zero(values: Mapping[str, Any]) -> dict[str, Any]:
    zeros = {"start": jax.tree.map(jnp.zeros_like, values["start"])} if "start" in values else {}
    return {**values, **zeros}


def _drawn_signed(
    kind: Any, key: Any, low: Any, high: Any, threshold: Any, *more: Any
) -> jax.Array:
    return draw(kind, key, low, high, None if threshold is None else _signed(threshold), *more)


def _lower_half_of_all(*index: Any) -> tuple[jax.Array, ...]:
    low, high, word, upper = half_address(*index)
    return low, high, word, jnp.zeros_like(upper)


def _from_the_first(shape: Any, whole: Any, start: Any, *more: Any) -> tuple[jax.Array, jax.Array]:
    return linear_index(shape, whole, None if start is None else start * 0, *more)


def _combined_with_c_for_d(n: Any, x: Any, coefficients: Any, *more: Any, **how: Any) -> jax.Array:
    return combine(n, x, _exchanged(coefficients, "c", "d"), *more, **how)


combine, draw, linear_index = xla_combine.combine, mapped.draw, elementwise.linear_index
half_address = noise.half_address
_cpu_call, _tpu_call = cpu.call_kernel, mosaic_tpu._run_kernel
_gpu_formula = mosaic_gpu_kernel._formula


def _tpu_call_with_a_for_b(call: Call, operands: Mapping[str, Any], **how: Any) -> jax.Array:
    exchanged = _exchanged(operands, "a", "b")
    return _tpu_call(call.on(exchanged), exchanged, **how)


_XLA_DEFECTS = {
    "a signed threshold": (mapped, "draw", _drawn_signed),
    "one half for all": (noise, "half_address", _lower_half_of_all),
    "no start": (elementwise, "linear_index", _from_the_first),
    "c for d": (xla_combine, "combine", _combined_with_c_for_d),
}

# Backend → the defects planted in it, as arguments of monkeypatch.setattr.
DEFECTS: dict[str, dict[str, tuple[Any, str, Any]]] = {
    "xla": _XLA_DEFECTS,
    "xla_on_gpus": {name: _XLA_DEFECTS[name] for name in ("no start",)},
    "cpu": {
        "a signed threshold": (
            cpu,
            "call_kernel",
            lambda call, operands, *how: _cpu_call(
                call,
                {k: _signed(v) if k == "threshold" else v for k, v in operands.items()},
                *how,
            ),
        ),
        "no start": (
            cpu,
            "call_kernel",
            lambda call, operands, *how: _cpu_call(call, _from_zero(operands), *how),
        ),
        "a for b": (
            cpu,
            "call_kernel",
            lambda call, operands, *how: _cpu_call(call, _exchanged(operands, "a", "b"), *how),
        ),
        "shards as wholes": (
            cpu,
            "call_kernel",
            lambda call, operands, *how: _cpu_call(
                call.on(operands, global_shape=call.shape), operands, *how
            ),
        ),
    },
    "mosaic_gpu": {
        "one half for all": (noise, "half_address", _lower_half_of_all),
        "no start": (
            mosaic_gpu_kernel,
            "_formula",
            lambda values, *args: _gpu_formula(_from_zero(values), *args),
        ),
        "a for b": (
            mosaic_gpu_kernel,
            "_formula",
            lambda values, *args: _gpu_formula(_exchanged(values, "a", "b"), *args),
        ),
    },
    "mosaic_tpu": {
        "one half for all": (mosaic_tpu_kernel, "swapped", lambda word: word),
        "no start": (
            mosaic_tpu,
            "_run_kernel",
            lambda call, operands, **how: _tpu_call(call, _from_zero(operands), **how),
        ),
        "a for b": (mosaic_tpu, "_run_kernel", _tpu_call_with_a_for_b),
    },
}
