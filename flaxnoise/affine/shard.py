"""Shards inside shard_map: their location in the global array, and so their noise."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import PartitionSpec

from flaxnoise.stream.index import split

_spec = jax.make_user_context(default_value=None)


@contextlib.contextmanager
def local_shard(spec: PartitionSpec) -> Iterator[None]:
    """Gives each shard inside a shard_map its part of the global array's noise.

    For use inside a function under jax.shard_map. Without it, each device treats its shard as a
    whole array, and all shards get the same noise under the same key.

    Args:
        spec: sharding of the leading dimensions of every x inside, as in shard_map's in_specs. Any
            dimension may be sharded, including the spatial dimensions of ``drop_block``. Noisy
            weights (``noisy_dense``, ``WeightNoise``) count as replicated, and
            ``residual_drop_path`` raises.

    Raises:
        TypeError: spec is not a PartitionSpec.
        ValueError: raised by the functions inside if x has fewer dimensions than the spec.

    Example:
        >>> from jax.sharding import PartitionSpec as P
        >>> def local(key, x):
        ...     with flaxnoise.local_shard(P("data")):
        ...         return flaxnoise.dropout(key, x, 0.5)
        >>> mesh = jax.make_mesh((1,), ("data",), (jax.sharding.AxisType.Auto,))
        >>> split = jax.shard_map(local, mesh=mesh, in_specs=(P(), P("data")), out_specs=P("data"))
        >>> bool((split(key, x) == flaxnoise.dropout(key, x, 0.5)).all())
        True
    """
    if not isinstance(spec, PartitionSpec):
        raise TypeError(f"local_shard: spec must be a jax.sharding.PartitionSpec, got {spec!r}.")
    with _spec(spec):
        yield


@contextlib.contextmanager
def without_local_shard() -> Iterator[None]:
    """Suspends ``local_shard``, for arrays that are replicated on every device, such as weights."""
    with _spec(None):
        yield


def is_shard() -> bool:
    """Whether the call is inside ``local_shard``."""
    return _spec.value is not None


def fold_in_axes(key: jax.Array, axes: str | Sequence[str]) -> jax.Array:
    """Folds a device's position along mesh axes into a key.

    For use inside a function under jax.shard_map. Noise then differs along these axes and is the
    same along all others: with the data-parallel axes, each data-parallel rank gets its own noise,
    and the ranks of one tensor-parallel group share it.

    Args:
        key: a jax.random key.
        axes: name of a mesh axis, or several names.

    Returns:
        A key.

    Raises:
        TypeError: axes are not names.

    Example:
        >>> from jax.sharding import PartitionSpec as P
        >>> def local(key, x):
        ...     return flaxnoise.dropout(flaxnoise.fold_in_axes(key, "data"), x, 0.5)
        >>> mesh = jax.make_mesh((1,), ("data",), (jax.sharding.AxisType.Auto,))
        >>> split = jax.shard_map(local, mesh=mesh, in_specs=(P(), P("data")), out_specs=P("data"))
        >>> y = split(key, x)
    """
    names = (axes,) if isinstance(axes, str) else axes
    if not (isinstance(names, Sequence) and all(isinstance(name, str) for name in names)):
        raise TypeError(
            f"fold_in_axes: axes must be the name of a mesh axis or several, got {axes!r}."
        )
    return jax.random.fold_in(key, lax.axis_index(tuple(names)))


def located(
    shape: tuple[int, ...], shared: Sequence[int] = ()
) -> tuple[jax.Array | None, tuple[int, ...] | None]:
    """(start, global shape) of n according to ``local_shard``; None outside of it.

    Args:
        shape: dimensions of n on this device.
        shared: dimensions along which the noise is shared, and n therefore is not sharded.
    """
    axes = _sharding_axes(shape)
    if axes is None:
        return None, None
    global_shape = tuple(
        1 if dimension in shared else size * lax.axis_size(axes[dimension])
        for dimension, size in enumerate(shape)
    )
    return first_index(shape, global_shape, axes), global_shape


def shard_of(shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[jax.Array | int, ...]] | None:
    """The global shape of an array, and the offset of this device's shard in it.

    For functions whose noise has a different shape than x, such as DropBlock.

    Args:
        shape: shape of the shard.

    Returns:
        The global shape and the shard's offset in each dimension: a traced int32 if the dimension
        is sharded, else 0. None outside of ``local_shard``.
    """
    axes = _sharding_axes(shape)
    if axes is None:
        return None
    global_shape = tuple(
        size * lax.axis_size(names) for size, names in zip(shape, axes, strict=True)
    )
    offsets = tuple(
        lax.axis_index(names) * size if names else 0
        for size, names in zip(shape, axes, strict=True)
    )
    return global_shape, offsets


def first_index(
    shape: Sequence[int], global_shape: Sequence[int], axes: Sequence[tuple[str, ...]]
) -> jax.Array:
    """uint32[2], the linear index of the first element of this device's shard, as (low, high).

    Args:
        shape: dimensions of n on each device.
        global_shape: dimensions of the global n.
        axes: the mesh axes over which each dimension is sharded.
    """
    with jax.enable_x64(True):
        offsets = [
            lax.axis_index(names).astype(jnp.uint64) * jnp.uint64(size) if names else 0
            for size, names in zip(shape, axes, strict=True)
        ]
        return linear_index(offsets, global_shape)


def linear_index(offsets: Sequence[jax.Array | int], global_shape: Sequence[int]) -> jax.Array:
    """uint32[2], the row-major linear index of an element, as (low, high) words.

    Args:
        offsets: position of the element in each dimension.
        global_shape: dimensions of the array.
    """
    with jax.enable_x64(True):
        index = jnp.zeros((), jnp.uint64)
        stride = 1
        for offset, size in zip(reversed(offsets), reversed(global_shape), strict=True):
            if size != 1 and not (isinstance(offset, int) and offset == 0):
                index += jnp.asarray(offset).astype(jnp.uint64) * jnp.uint64(stride)
            stride *= size
        return jnp.stack(split(index))


def _sharding_axes(shape: Sequence[int]) -> list[tuple[str, ...]] | None:
    """The mesh axes over which ``local_shard`` shards each dimension; None outside of it."""
    spec = _spec.value
    if spec is None:
        return None
    if len(spec) > len(shape):
        raise ValueError(
            f"local_shard: spec {spec} must have at most as many dimensions as x, which has "
            f"{len(shape)}."
        )
    return [mesh_axes(names) for names in (*spec, *(None,) * (len(shape) - len(spec)))]


def mesh_axes(names: Any) -> tuple[str, ...]:
    """The mesh axes of one entry of a PartitionSpec."""
    if names is None:
        return ()
    return (names,) if isinstance(names, str) else tuple(names)
