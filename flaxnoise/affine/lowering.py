"""Lowering: picks the backend for the platform at hand, and traces that backend alone."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import mlir

from flaxnoise.affine.devices import told_devices
from flaxnoise.affine.primitive import affine_p
from flaxnoise.affine.sharding import (
    per_automatic_shard,
    per_explicit_shard,
    surroundings,
    with_divisible_axes,
)
from flaxnoise.backends import choice, cpu, xla, xla_flat

_NO_MESH = jax.sharding.AbstractMesh((), ())


def _lower(
    ctx: mlir.LoweringRuleContext,
    *values: Any,
    names: tuple[str, ...],
    backend: str | None,
    sharding: Any,
    **params: Any,
) -> Sequence[Any]:
    del sharding  # a part of the output's type by now
    cut = surroundings(ctx)
    platforms = ctx.platforms or ctx.module_context.platforms
    # Programs for several platforms are exported ones, which the xla form serves on all of them.
    platform = platforms[0] if len(platforms) == 1 else "several"
    form = choice.form(
        platform,
        backend,
        names=names,
        avals=dict(zip(names, ctx.avals_in, strict=True)),
        partitioned=cut == "mixed",
        exported=ctx.module_context.lowering_parameters.for_export,
        devices=told_devices(ctx),
        **params,
    )
    if form is xla.affine and cut == "whole" and platform in ("cuda", "rocm"):
        form = xla_flat.affine
    if form is xla.affine or cut == "whole":
        # The kernel for CPUs works in place, so it has to see whose array it is given.
        call = _inline if form is cpu.affine else _shared
        (out,) = _plain(ctx.avals_out)
        return _lower_plain(ctx, values, call(form, names=names, out=out, **params))
    call = {**params, "backend": backend}
    if cut == "explicit":
        per_shard = per_explicit_shard(names, ctx.avals_out[0], call)
        return mlir.lower_fun(per_shard, multiple_results=False)(ctx, *values)
    per_shard = per_automatic_shard(names, _shapes(ctx.avals_in), call)
    ctx = with_divisible_axes(ctx)
    return _lower_plain(ctx, values, per_shard)


def _lower_plain(
    ctx: mlir.LoweringRuleContext, values: Sequence[Any], traced: Callable[..., jax.Array]
) -> Sequence[Any]:
    """Lowers a function of plain arrays without a mesh.

    With the types of a mesh the arrays would be replicated; without, the compiler partitions the
    call as it partitions the operands.
    """

    def without_mesh(*arrays: jax.Array) -> jax.Array:
        with jax.sharding.use_abstract_mesh(_NO_MESH):
            return traced(*arrays)

    plain = ctx.replace(avals_in=_plain(ctx.avals_in), avals_out=_plain(ctx.avals_out))
    return mlir.lower_fun(without_mesh, multiple_results=False)(plain, *values)


def _inline(
    form: choice.Form, *, names: tuple[str, ...], out: ShapedArray, **params: Any
) -> Callable[..., jax.Array]:
    """The form as a function of the operands in order."""

    def call(*arrays: jax.Array) -> jax.Array:
        y = form(dict(zip(names, arrays, strict=True)), **params)
        # A term without noise may lack dimensions that another operand has.
        return jnp.broadcast_to(y, out.shape)

    return call


def _shared(form: choice.Form, **params: Any) -> Callable[..., jax.Array]:
    """The same, as one equation."""
    return functools.partial(form_p.bind, form=form, **params)


form_p = Primitive("flaxnoise_noise")


@form_p.def_abstract_eval
def _result(*_: Any, out: ShapedArray, **__: Any) -> ShapedArray:
    return out


def _lower_form(
    ctx: mlir.LoweringRuleContext, *values: Any, form: choice.Form, **params: Any
) -> Sequence[Any]:
    return mlir.lower_fun(_inline(form, **params), multiple_results=False)(ctx, *values)


# A private function, which all calls of the same types and parameters share, so that a program of
# many layers stays short. XLA inlines it, and fuses it with its neighbours.
mlir.register_lowering(form_p, _lower_form, inline=False)


def _plain(avals: Sequence[Any]) -> list[ShapedArray]:
    return [ShapedArray(aval.shape, aval.dtype) for aval in avals]


def _shapes(avals: Sequence[Any]) -> list[tuple[int, ...]]:
    return [aval.shape for aval in avals]


# One rule for all platforms: jax 0.10 cannot lower for several platforms what is not cacheable and
# has one for each. Not cacheable: a kernel has to see whose array it is given, not a copy's name.
mlir.register_lowering(affine_p, _lower, cacheable=False)
