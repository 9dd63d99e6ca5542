"""Features of jax that are not in its public API, and what is lost in a version without them."""

from typing import Any

import jax
from jax.interpreters import mlir

# Public functions are inlined into the program that calls them while it is traced. An in-place
# kernel then sees where its operand comes from. In jax 0.10 that is inline=True, which may mean
# inlining at lowering in later versions. Lost: in-place kernels in inner layers.
_INLINE: Any = getattr(jax, "Inline", None)
FLAT: Any = getattr(_INLINE, "JAX_EARLY", True)


def primitives_that_need_devices() -> set[Any] | None:
    """jax's set of primitives whose lowering rules get the program's devices.

    Lost: kernels on meshes with automatic axes (``partition_kernels``), and the devices that
    mosaic_gpu checks; it then relies on FLAXNOISE_CUDA_CAPABILITY or the local GPUs.
    """
    try:
        from jax._src.dispatch import prim_requires_devices_during_lowering
    except ImportError:
        return None
    return prim_requires_devices_during_lowering


def axis_context(ctx: mlir.LoweringRuleContext) -> Any:
    """The mesh axes and the devices that a program is compiled for, or None.

    Lost: kernels, since a program of unknown devices may be partitioned.
    """
    return getattr(ctx.module_context, "axis_context", None)


def with_axis_context(ctx: mlir.LoweringRuleContext, axes: Any) -> mlir.LoweringRuleContext:
    """The context with another axis context; only needed where there was one."""
    return ctx.replace(module_context=ctx.module_context.replace(axis_context=axes))


def program_devices(ctx: mlir.LoweringRuleContext) -> tuple[Any, ...]:
    """The devices that a program is compiled for; empty if jax does not pass them.

    Lost: as for ``primitives_that_need_devices``.
    """
    axes = axis_context(ctx)
    mesh = getattr(axes, "mesh", None)
    if isinstance(mesh, jax.sharding.Mesh):
        return tuple(mesh.devices.flat)
    return tuple(getattr(axes, "device_assignment", None) or ())


def is_exported(ctx: mlir.LoweringRuleContext) -> bool:
    """Whether the program is exported.

    Lost: the cpu backend. Every program counts as exported, and an exported program must not depend
    on a library of this machine.
    """
    parameters = getattr(ctx.module_context, "lowering_parameters", None)
    return getattr(parameters, "for_export", True)


def platform(ctx: mlir.LoweringRuleContext) -> str:
    """The platform that a program is compiled for; "several" for more than one.

    Lost: all backends but xla.
    """
    found = getattr(ctx, "platforms", None) or getattr(ctx.module_context, "platforms", ())
    return found[0] if len(found) == 1 else "several"


def varying_axes(value: jax.Array) -> frozenset[str]:
    """The manual mesh axes of shard_map that a value varies over.

    Lost: shard_map with check_vma if operands vary over different axes (``fold_in_axes``).
    """
    axes = getattr(jax.typeof(value), "manual_axis_type", None)
    return getattr(axes, "varying", frozenset())


def weakly_typed_as(y: jax.Array, x: jax.Array) -> jax.Array:
    """y, weakly typed if x is and both have the same dtype.

    Lost: y is strongly typed, and float32 then does not yield to bfloat16 in promotion.
    """
    if not jax.typeof(x).weak_type or x.dtype != y.dtype:
        return y
    try:
        return jax.lax.convert_element_type_p.bind(
            y, new_dtype=y.dtype, weak_type=True, sharding=None
        )
    except (AttributeError, TypeError):
        return y
