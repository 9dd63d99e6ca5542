"""Shards inside shard_map: the part of a global array that a device holds, and its noise."""

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
    """Gives the arrays of a shard_map the noise of the global array that they are shards of.

    For use inside a function under jax.shard_map. Without it, each device takes its shard for a
    whole array, and every shard gets the same noise under the same key.

    Args:
        spec: how the global arrays are sharded, as in shard_map's in_specs; for the leading
            dimensions of every x inside. Any dimension may be sharded, those of space in
            ``drop_block`` included. Weights with noise (``noisy_dense``, ``WeightNoise``) count as
            replicated, and ``residual_drop_path`` raises.

    Raises:
        TypeError: spec is no PartitionSpec.
        ValueError: raised by the functions inside, where x has fewer dimensions than the spec.

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
def whole_arrays() -> Iterator[None]:
    """Inside of ``local_shard``: for arrays that every device has whole, such as weights."""
    with _spec(None):
        yield


def is_shard() -> bool:
    """Whether ``local_shard`` is around this."""
    return _spec.value is not None


def fold_in_axes(key: jax.Array, axes: str | Sequence[str]) -> jax.Array:
    """Folds the position along mesh axes into a key: different noise there, the same elsewhere.

    For use inside a function under jax.shard_map. With the data-parallel axes, each rank gets noise
    of its own and the ranks of one tensor-parallel group share it.

    Args:
        key: a jax.random key.
        axes: names of mesh axes.

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
    """(start, global shape) of n, as ``local_shard`` around the call says; None outside of it.

    Args:
        shape: dimensions of n on this device.
        shared: those along which the noise is shared, and which therefore are not sharded.
    """
    axes = _sharding_axes(shape)
    if axes is None:
        return None, None
    whole = tuple(
        1 if dimension in shared else size * lax.axis_size(axes[dimension])
        for dimension, size in enumerate(shape)
    )
    return first_index(shape, whole, axes), whole


def shard_of(shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[jax.Array | int, ...]] | None:
    """The global shape of an array and where this device's shard of it begins.

    For functions whose noise has another shape than x, such as DropBlock.

    Args:
        shape: of the shard.

    Returns:
        The global shape and, for each dimension, the offset of the shard, a traced int32 where the
        dimension is sharded and 0 elsewhere. None outside of ``local_shard``.
    """
    axes = _sharding_axes(shape)
    if axes is None:
        return None
    whole = tuple(size * lax.axis_size(names) for size, names in zip(shape, axes, strict=True))
    offsets = tuple(
        lax.axis_index(names) * size if names else 0
        for size, names in zip(shape, axes, strict=True)
    )
    return whole, offsets


def first_index(
    shape: Sequence[int], whole: Sequence[int], axes: Sequence[tuple[str, ...]]
) -> jax.Array:
    """uint32[2], the linear index at which this device's shard starts, as (low, high) words.

    Args:
        shape: dimensions of n on each device.
        whole: dimensions of n in the global array.
        axes: for each dimension, the mesh axes that it is sharded over.
    """
    with jax.enable_x64(True):
        offsets = [
            lax.axis_index(names).astype(jnp.uint64) * jnp.uint64(size) if names else 0
            for size, names in zip(shape, axes, strict=True)
        ]
        return linear_index(offsets, whole)


def linear_index(offsets: Sequence[jax.Array | int], whole: Sequence[int]) -> jax.Array:
    """uint32[2], the row-major linear index of an element, as (low, high) words.

    Args:
        offsets: the element's position in each dimension.
        whole: the dimensions.
    """
    with jax.enable_x64(True):
        index = jnp.zeros((), jnp.uint64)
        stride = 1
        for offset, size in zip(reversed(offsets), reversed(whole), strict=True):
            if size != 1 and not (isinstance(offset, int) and offset == 0):
                index += jnp.asarray(offset).astype(jnp.uint64) * jnp.uint64(stride)
            stride *= size
        return jnp.stack(split(index))


def _sharding_axes(shape: Sequence[int]) -> list[tuple[str, ...]] | None:
    """For each dimension, the mesh axes that ``local_shard`` says it is sharded over."""
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
