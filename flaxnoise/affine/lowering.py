"""Lowering: picks the backend for the platform at hand, and traces that backend alone."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
from jax.interpreters import mlir

from flaxnoise.affine.primitive import affine_p
from flaxnoise.backends import choice


_NO_MESH = jax.sharding.AbstractMesh((), ())


def _lower(
    ctx: mlir.LoweringRuleContext,
    *values: Any,
    platform: str,
    names: tuple[str, ...],
    backend: str | None,
    **params: Any,
) -> Sequence[Any]:
    form = choice.form(
        platform,
        backend,
        names=names,
        avals=dict(zip(names, ctx.avals_in, strict=True)),
        partitioned=_is_partitioned(ctx),
        exported=ctx.module_context.lowering_parameters.for_export,
        **params,
    )

    # The form sees plain arrays and no mesh: its own types would otherwise ask for replication, and
    # the compiler partitions it as it does its operands.
    def local(*arrays: jax.Array) -> jax.Array:
        with jax.sharding.use_abstract_mesh(_NO_MESH):
            return form(dict(zip(names, arrays, strict=True)), **params)

    plain = [jax.core.ShapedArray(aval.shape, aval.dtype) for aval in ctx.avals_in]
    out = [jax.core.ShapedArray(aval.shape, aval.dtype) for aval in ctx.avals_out]
    lower = mlir.lower_fun(local, multiple_results=False)
    return lower(ctx.replace(avals_in=plain, avals_out=out), *values)


def _is_partitioned(ctx: mlir.LoweringRuleContext) -> bool:
    """Whether the compiler will cut the arrays: several devices, and not every axis manual."""
    axes = ctx.module_context.axis_context
    if isinstance(axes, mlir.SPMDAxisContext):
        return frozenset(axes.manual_axes) != frozenset(axes.mesh.axis_names)
    return axes.num_devices != 1


for _platform in ("cpu", "cuda", "rocm", "tpu"):
    mlir.register_lowering(
        affine_p, functools.partial(_lower, platform=_platform), platform=_platform
    )
mlir.register_lowering(affine_p, functools.partial(_lower, platform="other"))
