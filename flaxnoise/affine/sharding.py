"""Kernels on many devices: each shard draws the noise of its own elements.

The compiler cannot look into a kernel. On a mesh with explicit axes the output's type says how it
is cut, and the kernel runs under shard_map; on one with automatic axes the partitioner decides, and
asks through custom_partitioning. Either way a shard runs the same primitive on its local arrays,
with the linear index at which it starts. Nothing is communicated.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.experimental.custom_partitioning import custom_partitioning
from jax.interpreters import mlir
from jax.sharding import AbstractMesh, AxisType, NamedSharding, PartitionSpec

from flaxnoise.affine.devices import primitives_that_need_devices
from flaxnoise.affine.primitive import affine, affine_p
from flaxnoise.affine.shard import first_index, mesh_axes

Names = tuple[str, ...]

_WITHOUT_DIMENSIONS = ("key", "start")  # operands of batch dimensions and words


def partition_kernels(enable: bool = True) -> None:
    """Lets kernels run per shard on meshes with automatic axes, where xla serves by default.

    To be called before functions are traced; those traced before may keep xla. Has a price: a
    program with such a kernel cannot be lowered against an AbstractMesh, and misses jax's
    persistent compilation cache in other processes (unless
    jax_remove_custom_partitioning_ptr_from_cache_key is set). Meshes with explicit axes and
    shard_map need none of this: there, kernels always run per shard.

    Args:
        enable: False returns to the default.

    Raises:
        NotImplementedError: this version of jax does not tell a primitive the devices.

    Example:
        >>> flaxnoise.partition_kernels()
        >>> flaxnoise.partition_kernels(enable=False)
    """
    registered = primitives_that_need_devices()
    if registered is None:
        raise NotImplementedError(
            "partition_kernels: this version of jax does not tell a primitive its devices. "
            "Use a mesh with explicit axes, or shard_map."
        )
    if enable:
        registered.add(affine_p)
    else:
        registered.discard(affine_p)


def surroundings(ctx: mlir.LoweringRuleContext) -> str:
    """How the arrays of a call are cut.

    Returns:
        "whole" on one device or where every axis is manual; "explicit" or "auto" on several
        devices, by who decides about the cut; "mixed" where no kernel can run per shard: some axes
        are manual or explicit and others not, or jax does not tell the devices.
    """
    axes = ctx.module_context.axis_context
    if isinstance(axes, mlir.SPMDAxisContext):
        return "whole" if set(axes.mesh.axis_names) <= set(axes.manual_axes) else "mixed"
    if axes.num_devices == 1:
        return "whole"
    mesh = ctx.avals_out[0].sharding.mesh
    types = set() if mesh.empty else set(mesh.axis_types)
    if types == {AxisType.Explicit}:
        return "explicit"
    registered = primitives_that_need_devices()
    # The devices may be missing where a function was traced before partition_kernels.
    told = registered is not None and affine_p in registered and axes.device_assignment
    return "auto" if told and types <= {AxisType.Auto} else "mixed"


def per_explicit_shard(names: Names, out: Any, params: dict[str, Any]) -> Callable[..., jax.Array]:
    """The call under shard_map, cut as the output's type says."""
    mesh, spec = out.sharding.mesh, out.sharding.spec

    def call(*values: jax.Array) -> jax.Array:
        batch_rank = values[0].ndim - 1
        specs = tuple(
            _operand_spec(name, value.shape, spec, batch_rank)
            for name, value in zip(names, values, strict=True)
        )
        local = _local(names, params, spec[batch_rank:], mesh.shape)
        cut = [
            jax.sharding.reshard(value, NamedSharding(mesh, own))
            for value, own in zip(values, specs, strict=True)
        ]
        return jax.shard_map(local, mesh=mesh, in_specs=specs, out_specs=spec, check_vma=False)(
            *cut
        )

    return call


def with_divisible_axes(ctx: mlir.LoweringRuleContext) -> mlir.LoweringRuleContext:
    """For custom_partitioning: the same devices as a mesh whose axes are of prime size.

    The partitioner may cut a dimension by a part of an axis, as after a reshape, and a call may
    come without any mesh; what custom_partitioning is told then has to be said in such axes.
    """
    axes: Any = ctx.module_context.axis_context
    mesh = axes.abstract_mesh
    sizes = {"devices": axes.num_devices} if mesh is None or mesh.empty else mesh.shape
    parts = {
        f"{name}.{position}": prime
        for name, size in sizes.items()
        for position, prime in enumerate(_primes(size))
    }
    divided = AbstractMesh(tuple(parts.values()), tuple(parts))
    axes = dataclasses.replace(axes, abstract_mesh=divided)
    return ctx.replace(module_context=ctx.module_context.replace(axis_context=axes))


def per_automatic_shard(
    names: Names, shapes: Sequence[tuple[int, ...]], params: dict[str, Any]
) -> Callable[..., jax.Array]:
    """The call under custom_partitioning, cut as the partitioner says."""
    batch_rank = len(shapes[0]) - 1

    def whole(*values: jax.Array) -> jax.Array:
        return affine(dict(zip(names, values, strict=True)), **params)

    def partition(mesh: Any, _: Any, result: Any) -> tuple[Any, ...]:
        spec = result.sharding.spec
        specs = [
            _operand_spec(name, shape, spec, batch_rank)
            for name, shape in zip(names, shapes, strict=True)
        ]
        local = _local(names, params, spec[batch_rank:], mesh.shape)
        return mesh, local, result.sharding, tuple(NamedSharding(mesh, own) for own in specs)

    def infer(mesh: Any, arguments: Sequence[Any], result: Any) -> NamedSharding:
        spec: list[Any] = [None] * len(result.shape)
        for name, argument in zip(names, arguments, strict=True):
            if name in _WITHOUT_DIMENSIONS or argument.sharding is None:
                continue
            for axis, own in enumerate(argument.sharding.spec):
                taken = {used for entry in spec for used in mesh_axes(entry)}
                fits = argument.shape[axis] == result.shape[axis]
                if fits and spec[axis] is None and taken.isdisjoint(mesh_axes(own)):
                    spec[axis] = own
        return NamedSharding(mesh, PartitionSpec(*spec))

    call = custom_partitioning(whole)
    call.def_partition(
        partition,
        infer_sharding_from_operands=infer,
        sharding_rule=_rule(names, shapes, batch_rank, batch_rank + len(params["shape"])),
    )
    return call


def _local(
    names: Names, params: dict[str, Any], spec: Sequence[Any], sizes: Any
) -> Callable[..., jax.Array]:
    """The call on one shard of an output whose dimensions are cut by spec."""
    shape = params["shape"]
    whole = params["global_shape"] or shape
    axes = [mesh_axes(names) for names in spec]
    parts = [math.prod(sizes[axis] for axis in own) for own in axes]
    # A dimension along which the noise is shared (size 1) stays one; uneven cuts are padded by XLA.
    local = tuple(
        size if size == 1 else -(-size // part) for size, part in zip(shape, parts, strict=True)
    )

    def call(*values: jax.Array) -> jax.Array:
        operands = dict(zip(names, values, strict=True))
        operands["start"] = first_index(local, whole, axes, operands)
        return affine(operands, **{**params, "shape": local, "global_shape": whole})

    return call


def _operand_spec(
    name: str, shape: tuple[int, ...], spec: Sequence[Any], batch_rank: int
) -> PartitionSpec:
    """The output's cut, along the dimensions that an operand has."""
    if name in _WITHOUT_DIMENSIONS:
        shape, spec = shape[:-1], spec[:batch_rank]
    return PartitionSpec(
        *(None if size == 1 else own for size, own in zip(shape, spec, strict=True)),
        *((None,) if name in _WITHOUT_DIMENSIONS else ()),
    )


def _rule(names: Names, shapes: Sequence[tuple[int, ...]], batch_rank: int, rank: int) -> str:
    """Shardy's rule: dimensions that an operand shares with the output are cut alike."""
    terms = []
    for position, (name, shape) in enumerate(zip(names, shapes, strict=True)):
        shared = batch_rank if name in _WITHOUT_DIMENSIONS else rank
        terms.append(
            " ".join(
                f"d{axis}" if axis < shared and size != 1 else f"o{position}x{axis}"
                for axis, size in enumerate(shape)
            )
        )
    return ", ".join(terms) + " -> " + " ".join(f"d{axis}" for axis in range(rank))


def _primes(size: int) -> list[int]:
    """Prime factors, the smallest first."""
    factors, divisor = [], 2
    while size > 1:
        while size % divisor:
            divisor += 1
        factors.append(divisor)
        size //= divisor
    return factors
