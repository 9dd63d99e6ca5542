"""Calls of the primitive: ``apply`` for functions of x, ``draw`` for the noise itself."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from flaxnoise import arguments
from flaxnoise.affine.primitive import affine
from flaxnoise.affine.shard import located
from flaxnoise.backends.choice import forced_backend


class Location(NamedTuple):
    """The location of n in a global array, and the forced backend.

    Both come from context managers. Custom derivative rules, which are traced after these have
    been left, keep them in this tuple.

    Attributes:
        start: linear index of the first element, as (low, high) words; None stands for 0.
        global_shape: shape of the global array if n is a shard, else None.
        backend: name of the forced backend, or None.
    """

    start: jax.Array | None = None
    global_shape: tuple[int, ...] | None = None
    backend: str | None = None


def here(shape: tuple[int, ...], shared: tuple[int, ...] = ()) -> Location:
    """The location and backend that ``local_shard`` and ``backend`` around the call set.

    Args:
        shape: dimensions of n on this device.
        shared: dimensions along which the noise is shared, and n therefore is not sharded.
    """
    return Location(*located(shape, shared), forced_backend())


def draw(
    kind: str,
    key: jax.Array,
    shape: tuple[int, ...],
    dtype: jax.typing.DTypeLike,
    *,
    threshold: jax.Array | None = None,
    location: Location | None = None,
) -> jax.Array:
    """Draws n.

    Args:
        kind: name of the kind of noise.
        key: a single key, or its words.
        shape: shape of n.
        dtype: dtype of the result.
        threshold: for kinds that drop; broadcasts to shape.
        location: location of n; by default that of ``here``.
    """
    operands = {"key": arguments.key_words(key)}
    if threshold is not None:
        operands["threshold"] = _aligned(threshold, len(shape))
    return _at(here(shape) if location is None else location, operands, kind, shape, dtype)


def apply(
    kind: str,
    key: jax.Array,
    x: jax.Array,
    shared: tuple[int, ...] = (),
    *,
    location: Location | None = None,
    **operands: Any,
) -> jax.Array:
    """y = x·(a + b·n) + (c + d·n).

    Args:
        kind: name of the kind of noise.
        key: a single key, or its words.
        x: floating array, or complex if there is neither c nor d.
        shared: dimensions along which the noise is shared.
        location: location of n; by default that of ``here``.
        **operands: any of a, b, c, d and threshold; they broadcast to x.

    Raises:
        TypeError: x is complex, and there is c or d.
    """
    if operands.keys() & {"c", "d"}:
        x = arguments.inexact("apply", x, complex_too=False)
    shape = reduced(x, shared)
    aligned = {
        name: _aligned(value if name == "threshold" else jnp.asarray(value, precision(x)), x.ndim)
        for name, value in operands.items()
    }
    given = {"key": arguments.key_words(key), "x": x, **aligned}
    return _at(here(shape, shared) if location is None else location, given, kind, shape, x.dtype)


def reduced(x: jax.Array, shared: tuple[int, ...]) -> tuple[int, ...]:
    """x's shape with size 1 in the dimensions along which the noise is shared."""
    return tuple(1 if axis in shared else size for axis, size in enumerate(x.shape))


def precision(x: jax.Array) -> jnp.dtype:
    """The dtype of the computation: float64 for float64 and complex128, else float32."""
    return jnp.dtype(jnp.float64 if x.dtype in (jnp.float64, jnp.complex128) else jnp.float32)


def _at(
    location: Location,
    operands: dict[str, jax.Array],
    kind: str,
    shape: tuple[int, ...],
    dtype: jax.typing.DTypeLike,
) -> jax.Array:
    if location.start is not None:
        operands["start"] = location.start
    static = {"global_shape": location.global_shape, "backend": location.backend}
    return affine(operands, kind=kind, shape=shape, dtype=dtype, **static)


def _aligned(value: jax.Array, rank: int) -> jax.Array:
    """The value with leading dimensions of size 1, up to a rank."""
    return value.reshape((1,) * (rank - value.ndim) + value.shape)
