"""Attention of sharded arrays: each shard draws its part of the global mask."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from flaxnoise.affine import is_shard, shard_of
from flaxnoise.affine.shard import local_shard, mesh_axes
from flaxnoise.functional.attention.checks import OWNER
from flaxnoise.functional.attention.plan import Given, Plan


def origin(
    plan: Plan, q: jax.Array, keys: int, key_shard: Any, rank: int
) -> tuple[jax.Array | None, Plan]:
    """Offset of this device's weights in the global array of weights, and a plan with its shape.

    Args:
        plan: plan of the call, with the number of keys of the global sequence.
        q: [B, T, N, D] on this device.
        keys: S on this device.
        key_shard: index of the shard of keys, or None.
        rank: rank of query as given by the caller.

    Returns:
        The offset in (B, N, T, S) as uint32[4], or None for zeros; and the plan.
    """
    shard = shard_of(q.shape[-rank:])
    if shard is None and key_shard is None:
        return None, plan
    sizes, offsets = shard or (q.shape, (0,) * rank)
    if rank == 3:
        sizes, offsets = (1, *sizes[-3:]), (0, *offsets)
    batch, queries, heads, size = sizes
    if size != q.shape[-1]:
        raise ValueError(
            f"{OWNER}: local_shard must not shard the last dimension of query. "
            "Shard batch, length or heads."
        )
    first = jnp.asarray(0 if key_shard is None else key_shard, jnp.uint32) * jnp.uint32(keys)
    b, t, n = (jnp.asarray(own).astype(jnp.uint32) for own in offsets[:3])
    global_shape = batch, heads, queries, plan.global_shape[3]
    return jnp.stack([b, n, t, first]), plan._replace(global_shape=global_shape)


def per_shard(
    function: Callable[..., Any], of_call: Any, arrays: tuple[Any, ...], given: Given
) -> Any:
    """function(of_call, arrays, given), under shard_map if the mesh has explicit axes.

    Batch, heads and the length of the queries keep the sharding of query. Keys and values are
    all-gathered along their length.
    """
    query, keys, _, bias = arrays
    mesh = jax.typeof(query).sharding.mesh
    explicit = {
        name
        for name, kind in zip(mesh.axis_names, mesh.axis_types, strict=True)
        if kind == AxisType.Explicit
    }
    leaves = jax.tree.leaves((arrays, given))
    # Dimensions hidden by vmap may stay sharded: the loops do not touch batch dimensions.
    if is_shard() or not explicit or not any(_is_sharded(x) for x in leaves):
        return function(of_call, arrays, given)
    batch, length, heads, _ = (*jax.typeof(query).sharding.spec, *(None,) * 4)[:4]
    parts = 1
    for name in mesh_axes(heads):
        parts *= mesh.shape[name]
    kv_heads = heads
    if keys.shape[2] == 1:
        kv_heads = None
    elif keys.shape[2] % parts:
        heads = kv_heads = None

    def spec(x: Any, *names: Any) -> Any:
        sizes = () if x is None else x.shape
        own = (None if size == 1 else name for size, name in zip(sizes, names, strict=False))
        return None if x is None else PartitionSpec(*own)

    of_keys = PartitionSpec(batch, None, kv_heads, None)
    of_query = PartitionSpec(batch, length, heads, None)
    weights = batch, heads, length, None
    of_given: dict[str, Any] = {
        "mask": spec(given.mask, *weights),
        "query_ids": spec(given.query_ids, batch, length),
        "key_ids": spec(given.key_ids, batch, None),
        "query_ends": spec(given.query_ends, batch),
        "key_ends": spec(given.key_ends, batch),
    }
    specs = (
        jax.tree.map(lambda x: PartitionSpec(), of_call),
        (of_query, of_keys, of_keys, spec(bias, *weights)),
        Given(**of_given),
    )

    def local(of_call: Any, arrays: Any, given: Given) -> Any:
        with local_shard(PartitionSpec(batch, length, heads)):
            return function(of_call, arrays, given)

    call = jax.shard_map(
        local,
        mesh=mesh,
        in_specs=specs,
        out_specs=(of_query, PartitionSpec(batch, length, heads)),
        axis_names=explicit,
    )
    values = (of_call, arrays, given)
    return call(
        *jax.tree.map(
            lambda own, x: jax.sharding.reshard(x, NamedSharding(mesh, own)),
            specs,
            values,
            is_leaf=lambda own: isinstance(own, PartitionSpec),
        )
    )


def _is_sharded(x: Any) -> bool:
    return any(name is not None for name in jax.typeof(x).sharding.spec)
