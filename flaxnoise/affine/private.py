"""What jax offers without promising it, each with what is lost in a version that lacks it."""

from typing import Any

import jax
from jax.interpreters import mlir

# How public functions become a part of the program that calls them: while it is traced, as a flat
# program, in which a kernel sees whose array it is given. jax 0.10 has no other way and calls it
# True; later, True may leave it to the lowering. Lost: kernels that work in place in inner layers.
_INLINE: Any = getattr(jax, "Inline", None)
FLAT: Any = getattr(_INLINE, "JAX_EARLY", True)


def primitives_that_need_devices() -> set[Any] | None:
    """jax's list of the primitives that are told the devices when they are lowered.

    Lost: kernels on meshes with automatic axes (``partition_kernels``), and the devices by which
    mosaic_gpu refuses, for which FLAXNOISE_CUDA_CAPABILITY stands in.
    """
    try:
        from jax._src.dispatch import prim_requires_devices_during_lowering
    except ImportError:
        return None
    return prim_requires_devices_during_lowering


def told_devices(ctx: mlir.LoweringRuleContext) -> tuple[Any, ...]:
    """The devices that the program at hand is for, or none if jax does not tell.

    Lost: as for ``primitives_that_need_devices``.
    """
    axes = getattr(ctx.module_context, "axis_context", None)
    mesh = getattr(axes, "mesh", None)
    if isinstance(mesh, jax.sharding.Mesh):
        return tuple(mesh.devices.flat)
    return tuple(getattr(axes, "device_assignment", None) or ())


def is_exported(ctx: mlir.LoweringRuleContext) -> bool:
    """Whether the program is exported.

    Lost: the cpu backend, as an exported program must not depend on this machine's library.
    """
    parameters = getattr(ctx.module_context, "lowering_parameters", None)
    return getattr(parameters, "for_export", True)


def platform(ctx: mlir.LoweringRuleContext) -> str:
    """The platform that a program is for; "several" for more than one.

    Lost: all backends but xla.
    """
    found = getattr(ctx, "platforms", None) or getattr(ctx.module_context, "platforms", ())
    return found[0] if len(found) == 1 else "several"


def varying_axes(value: jax.Array) -> frozenset[str]:
    """Manual mesh axes of shard_map that a value varies over.

    Lost: shard_map with check_vma, where operands vary over different axes (``fold_in_axes``).
    """
    axes = getattr(jax.typeof(value), "manual_axis_type", None)
    return getattr(axes, "varying", frozenset())


def weakly_typed_as(y: jax.Array, x: jax.Array) -> jax.Array:
    """y, weakly typed if x is and has the same dtype: float32 that gives way to bfloat16.

    Lost: y is strongly typed.
    """
    if not jax.typeof(x).weak_type or x.dtype != y.dtype:
        return y
    try:
        return jax.lax.convert_element_type_p.bind(
            y, new_dtype=y.dtype, weak_type=True, sharding=None
        )
    except (AttributeError, TypeError):
        return y
