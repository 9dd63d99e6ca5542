"""The way from a function's arguments to the affine primitive."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from flaxnoise import arguments
from flaxnoise.affine import affine, located
from flaxnoise.backends.choice import forced_backend
from flaxnoise.stream.threshold import keep_scale, threshold


class Place(NamedTuple):
    """What a call finds around it and a rule for its derivative, which runs later, does not.

    Attributes:
        whole: the global shape of n, of which this device has a shard.
        backend: the one that is forced.
    """

    whole: tuple[int, ...] | None
    backend: str | None


def placed(
    key: jax.Array, x: jax.Array, dims: tuple[int, ...]
) -> tuple[dict[str, jax.Array], Place]:
    """The words of the key and, of a shard, the start; and the rest of what is found."""
    operands, whole = located({"key": arguments.key_words(key)}, reduced(x, dims), dims)
    return operands, Place(whole, forced_backend())


def apply(
    kind: str, key: jax.Array, x: jax.Array, dims: tuple[int, ...], **operands: Any
) -> jax.Array:
    """The primitive on x, with coefficients that broadcast to it."""
    return apply_at(kind, *placed(key, x, dims), x, dims, **operands)


def apply_at(
    kind: str,
    words: dict[str, jax.Array],
    place: Place,
    x: jax.Array,
    dims: tuple[int, ...],
    **operands: Any,
) -> jax.Array:
    """The same, as it would have been done where ``placed`` was called."""
    aligned = {
        name: _aligned(value if name == "threshold" else jnp.asarray(value, precision(x)), x.ndim)
        for name, value in operands.items()
    }
    return affine(
        {**words, "x": x, **aligned},
        kind=kind,
        shape=reduced(x, dims),
        dtype=x.dtype,
        global_shape=place.whole,
        backend=place.backend,
    )


def explicit_sharding(x: jax.Array) -> jax.sharding.NamedSharding | None:
    """The sharding of x, where it is part of its type (explicit axes)."""
    sharding = jax.typeof(x).sharding
    return sharding if jax.sharding.AxisType.Explicit in sharding.mesh.axis_types else None


def reduced(x: jax.Array, dims: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of noise that is shared along some dimensions of x."""
    return tuple(1 if axis in dims else size for axis, size in enumerate(x.shape))


@functools.partial(jax.jit, static_argnames="dtype")
def bernoulli(rate: jax.Array, *, dtype: jnp.dtype) -> tuple[jax.Array, jax.Array]:
    """(threshold, 1/P(keep)). Not inlined: one equation in the caller's program, not thirty."""
    drop = threshold(rate)
    return drop, keep_scale(drop, dtype)


def precision(x: jax.Array) -> jnp.dtype:
    """float64 for 64-bit parts, else float32: what the formula is computed in."""
    return jnp.dtype(jnp.float64 if x.dtype in (jnp.float64, jnp.complex128) else jnp.float32)


def finite(stddev: jax.typing.ArrayLike, dtype: jnp.dtype) -> jax.Array:
    """A number, 0 where a traced one is not finite."""
    stddev = jnp.asarray(stddev, dtype)
    return jnp.where(jnp.isfinite(stddev), stddev, 0)


def _aligned(value: jax.Array, rank: int) -> jax.Array:
    """With dimensions of size 1 in front, up to a rank."""
    return value.reshape((1,) * (rank - value.ndim) + value.shape)
