"""Kernels on many devices: each shard draws the noise of its own elements.

The compiler cannot partition a kernel. On a mesh with explicit axes the output's type has a
sharding, and the kernel runs under shard_map. On automatic axes the partitioner chooses the
sharding and calls back through custom_partitioning. In both cases a shard runs the same primitive
on its local arrays, with the linear index of its first element. Nothing is communicated.
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

from flaxnoise.affine import private
from flaxnoise.affine.primitive import affine, affine_p
from flaxnoise.affine.shard import first_index, mesh_axes
from flaxnoise.backends.contract import WORDS, Call, Sharding, named
from flaxnoise.stream.index import join, split


def partition_kernels(enable: bool = True) -> None:
    """Enables kernels on meshes with automatic axes, where the default backend is xla.

    Call it before functions are traced; functions that are already traced may keep xla. Such a
    program cannot be lowered against an AbstractMesh, and misses jax's persistent compilation cache
    in other processes (unless jax_remove_custom_partitioning_ptr_from_cache_key is set). On meshes
    with explicit axes and under shard_map, kernels always run per shard, without this call.

    Args:
        enable: False restores the default.

    Raises:
        NotImplementedError: this version of jax does not pass devices to lowering rules.

    Example:
        >>> flaxnoise.partition_kernels()
        >>> flaxnoise.partition_kernels(enable=False)
    """
    registered = private.primitives_that_need_devices()
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
        "local" on one device, or if every mesh axis is manual. On several devices "explicit" or
        "auto", by the type of the mesh axes. "mixed" if no kernel can run per shard: mesh axes are
        of different types, or jax does not pass the devices.
    """
    axes = private.axis_context(ctx)
    if axes is None:
        return "mixed"
    if isinstance(axes, mlir.SPMDAxisContext):
        return "local" if set(axes.mesh.axis_names) <= set(axes.manual_axes) else "mixed"
    if axes.num_devices == 1:
        return "local"
    mesh = ctx.avals_out[0].sharding.mesh
    types = set() if mesh.empty else set(mesh.axis_types)
    if types == {AxisType.Explicit}:
        return "explicit"
    registered = private.primitives_that_need_devices()
    # The devices are missing if the function was traced before partition_kernels was called.
    has_devices = registered is not None and affine_p in registered and axes.device_assignment
    return "auto" if has_devices and types <= {AxisType.Auto} else "mixed"


def per_explicit_shard(call: Call, out: Any, backend: str | None) -> Callable[..., jax.Array]:
    """The call under shard_map, with the sharding of the output's type."""
    mesh, spec = out.sharding.mesh, out.sharding.spec
    specs = {name: _operand_spec(call, name, spec) for name in call.types}
    local = _on_shard(call, spec, mesh.shape, backend)
    mapped = jax.shard_map(local, mesh=mesh, in_specs=(specs,), out_specs=spec, check_vma=False)

    def run(*values: jax.Array) -> jax.Array:
        operands = {
            name: jax.sharding.reshard(value, NamedSharding(mesh, specs[name]))
            for name, value in named(call.types, values).items()
        }
        return mapped(operands)

    return run


def with_divisible_axes(ctx: mlir.LoweringRuleContext) -> mlir.LoweringRuleContext:
    """The context with a mesh of the same devices whose axes have prime sizes.

    The partitioner may shard a dimension over part of a mesh axis, for example after a reshape, and
    a call may have no mesh at all. custom_partitioning needs axes with which it can express such
    shardings.
    """
    axes = private.axis_context(ctx)
    mesh = axes.abstract_mesh
    sizes = {"devices": axes.num_devices} if mesh is None or mesh.empty else mesh.shape
    parts = {
        f"{name}.{position}": prime
        for name, size in sizes.items()
        for position, prime in enumerate(_primes(size))
    }
    divided = AbstractMesh(tuple(parts.values()), tuple(parts))
    axes = dataclasses.replace(axes, abstract_mesh=divided)
    return private.with_axis_context(ctx, axes)


def per_automatic_shard(call: Call, backend: str | None) -> Callable[..., jax.Array]:
    """The call under custom_partitioning, with the sharding that the partitioner chooses."""

    def whole(*values: jax.Array) -> jax.Array:
        operands = named(call.types, values)
        return _bind(call, operands, call.shape, backend)

    def partition(mesh: Any, _: Any, result: Any) -> tuple[Any, ...]:
        spec = result.sharding.spec
        specs = [NamedSharding(mesh, _operand_spec(call, name, spec)) for name in call.types]
        local = _on_shard(call, spec, mesh.shape, backend)

        def run(*values: jax.Array) -> jax.Array:
            return local(named(call.types, values))

        return mesh, run, result.sharding, tuple(specs)

    def infer(mesh: Any, arguments: Sequence[Any], result: Any) -> NamedSharding:
        spec: list[Any] = [None] * len(result.shape)
        for name, argument in named(call.types, arguments).items():
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
    """The call on one shard of an output with this PartitionSpec."""
    axes = [mesh_axes(names) for names in spec[call.batch_rank :]]
    parts = [math.prod(sizes[axis] for axis in own) for own in axes]
    # Dimensions along which the noise is shared keep size 1. XLA pads uneven shards.
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
    """Binds the primitive for a call, or for a shard of it."""
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
    """uint32[*batch, 2], the start of a shard, in an array that may itself have a start."""
    first = first.reshape((1,) * (operands["key"].ndim - 1) + (2,))
    if "start" not in operands:
        return first
    with jax.enable_x64(True):
        starts = [join(each[..., 0], each[..., 1]) for each in (first, operands["start"])]
        return jnp.stack(split(starts[0] + starts[1]), axis=-1)


def _operand_spec(call: Call, name: str, spec: Sequence[Any]) -> PartitionSpec:
    """The sharding of an operand: the output's, in the dimensions that are not of size 1."""
    shape = call.types[name].shape
    if name in WORDS:
        shape, spec = shape[:-1], spec[: call.batch_rank]
    return PartitionSpec(
        *(None if size == 1 else own for size, own in zip(shape, spec, strict=True)),
        *((None,) if name in WORDS else ()),
    )


def _rule(call: Call) -> str:
    """The Shardy rule: dimensions of operands are sharded like the output's, unless of size 1.

    Factors d are dimensions of the output; factors o occur in one operand only.
    """
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
    """Prime factors in ascending order."""
    factors, divisor = [], 2
    while size > 1:
        while size % divisor:
            divisor += 1
        factors.append(divisor)
        size //= divisor
    return factors
