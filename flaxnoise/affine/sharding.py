"""Kernels on many devices: each shard draws the noise of its own elements.

The compiler cannot look into a kernel. On a mesh with explicit axes the output's type says how it
is sharded, and the kernel runs under shard_map; on one with automatic axes the partitioner decides,
and asks through custom_partitioning. Either way a shard runs the same primitive on its local
arrays, with the linear index at which it starts. Nothing is communicated.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental.custom_partitioning import custom_partitioning
from jax.interpreters import mlir
from jax.sharding import AbstractMesh, AxisType, NamedSharding, PartitionSpec

from flaxnoise.affine.primitive import affine, affine_p
from flaxnoise.affine.private import primitives_that_need_devices
from flaxnoise.affine.shard import first_index, mesh_axes
from flaxnoise.backends.contract import WORDS, Call, Sharding
from flaxnoise.stream.index import join, split


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


def surroundings(ctx: mlir.LoweringRuleContext) -> Sharding:
    """How the arrays of a call are sharded.

    Returns:
        "whole" on one device or where every axis is manual; "explicit" or "auto" on several
        devices, by who decides; "mixed" where no kernel can run per shard: some axes
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
    has_devices = registered is not None and affine_p in registered and axes.device_assignment
    return "auto" if has_devices and types <= {AxisType.Auto} else "mixed"


def per_explicit_shard(call: Call, out: Any, backend: str | None) -> Callable[..., jax.Array]:
    """The call under shard_map, sharded as the output's type says."""
    mesh, spec = out.sharding.mesh, out.sharding.spec
    specs = {name: _operand_spec(call, name, spec) for name in call.types}
    local = _on_shard(call, spec, mesh.shape, backend)
    mapped = jax.shard_map(local, mesh=mesh, in_specs=(specs,), out_specs=spec, check_vma=False)

    def run(*values: jax.Array) -> jax.Array:
        operands = {
            name: jax.sharding.reshard(value, NamedSharding(mesh, specs[name]))
            for name, value in zip(call.types, values, strict=True)
        }
        return mapped(operands)

    return run


def with_divisible_axes(ctx: mlir.LoweringRuleContext) -> mlir.LoweringRuleContext:
    """For custom_partitioning: the same devices as a mesh whose axes are of prime size.

    The partitioner may shard a dimension over a part of an axis, as after a reshape, and a call may
    come without any mesh. Then custom_partitioning needs such axes to name the sharding.
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


def per_automatic_shard(call: Call, backend: str | None) -> Callable[..., jax.Array]:
    """The call under custom_partitioning, sharded as the partitioner says."""

    def whole(*values: jax.Array) -> jax.Array:
        operands = dict(zip(call.types, values, strict=True))
        return _bind(call, operands, call.shape, backend)

    def partition(mesh: Any, _: Any, result: Any) -> tuple[Any, ...]:
        spec = result.sharding.spec
        specs = [NamedSharding(mesh, _operand_spec(call, name, spec)) for name in call.types]
        local = _on_shard(call, spec, mesh.shape, backend)

        def run(*values: jax.Array) -> jax.Array:
            return local(dict(zip(call.types, values, strict=True)))

        return mesh, run, result.sharding, tuple(specs)

    def infer(mesh: Any, arguments: Sequence[Any], result: Any) -> NamedSharding:
        spec: list[Any] = [None] * len(result.shape)
        for name, argument in zip(call.types, arguments, strict=True):
            if name in WORDS or argument.sharding is None:
                continue
            for axis, own in enumerate(argument.sharding.spec):
                taken = {used for entry in spec for used in mesh_axes(entry)}
                fits = argument.shape[axis] == result.shape[axis]
                if fits and spec[axis] is None and taken.isdisjoint(mesh_axes(own)):
                    spec[axis] = own
        return NamedSharding(mesh, PartitionSpec(*spec))

    run = custom_partitioning(whole)
    run.def_partition(partition, infer_sharding_from_operands=infer, sharding_rule=_rule(call))
    return run


def _on_shard(
    call: Call, spec: Sequence[Any], sizes: Any, backend: str | None
) -> Callable[[dict[str, jax.Array]], jax.Array]:
    """The call on one shard of an output that is sharded by a spec."""
    axes = [mesh_axes(names) for names in spec[call.batch_rank :]]
    parts = [math.prod(sizes[axis] for axis in own) for own in axes]
    # A dimension along which the noise is shared (size 1) stays one; XLA pads uneven shards.
    local = tuple(
        size if size == 1 else -(-size // part)
        for size, part in zip(call.shape, parts, strict=True)
    )

    def run(operands: dict[str, jax.Array]) -> jax.Array:
        start = _started(operands, first_index(local, call.global_shape, axes))
        return _bind(call, {**operands, "start": start}, local, backend)

    return run


def _bind(
    call: Call, operands: dict[str, jax.Array], shape: tuple[int, ...], backend: str | None
) -> jax.Array:
    """The primitive on a part of a call, or all of it."""
    return affine(
        operands,
        kind=call.kind.name,
        shape=shape,
        global_shape=call.global_shape,
        dtype=call.dtype,
        wide=call.wide,
        backend=backend,
    )


def _started(operands: dict[str, jax.Array], first: jax.Array) -> jax.Array:
    """uint32[*batch, 2], where a shard starts whose whole may itself be a part."""
    first = first.reshape((1,) * (operands["key"].ndim - 1) + (2,))
    if "start" not in operands:
        return first
    with jax.enable_x64(True):
        starts = [join(each[..., 0], each[..., 1]) for each in (first, operands["start"])]
        return jnp.stack(split(starts[0] + starts[1]), axis=-1)


def _operand_spec(call: Call, name: str, spec: Sequence[Any]) -> PartitionSpec:
    """The output's sharding, along the dimensions that an operand has."""
    shape = call.types[name].shape
    if name in WORDS:
        shape, spec = shape[:-1], spec[: call.batch_rank]
    return PartitionSpec(
        *(None if size == 1 else own for size, own in zip(shape, spec, strict=True)),
        *((None,) if name in WORDS else ()),
    )


def _rule(call: Call) -> str:
    """Shardy's rule: dimensions that an operand shares with the output are sharded alike."""
    rank, terms = len(call.result), []
    for position, (name, own) in enumerate(call.operands):
        shared = call.batch_rank if name in WORDS else rank
        terms.append(
            " ".join(
                f"d{axis}" if axis < shared and size != 1 else f"o{position}x{axis}"
                for axis, size in enumerate(own.shape)
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
