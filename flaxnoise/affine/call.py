"""The way to the primitive: ``apply`` for functions of x, ``draw`` for noise as values."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from flaxnoise import arguments
from flaxnoise.affine.primitive import affine
from flaxnoise.affine.shard import located
from flaxnoise.backends.choice import forced_backend


class Place(NamedTuple):
    """Where n's elements are, and what is forced: for rules that run later.

    Attributes:
        start: linear index of the first element, as (low, high) words; 0 if there is none.
        whole: shape of the array that n is a part of, where it is one.
        backend: the one that is forced.
    """

    start: jax.Array | None = None
    whole: tuple[int, ...] | None = None
    backend: str | None = None


def here(shape: tuple[int, ...], shared: tuple[int, ...] = ()) -> Place:
    """The place of n as ``local_shard`` and ``backend`` around the call say.

    Args:
        shape: dimensions of n on this device.
        shared: those along which the noise is shared, so that no sharding concerns them.
    """
    return Place(*located(shape, shared), forced_backend())


def draw(
    kind: str,
    key: jax.Array,
    shape: tuple[int, ...],
    dtype: jax.typing.DTypeLike,
    *,
    threshold: jax.Array | None = None,
    place: Place | None = None,
) -> jax.Array:
    """n itself.

    Args:
        kind: which noise.
        key: one key, or its words.
        shape: of n.
        dtype: of the result.
        threshold: for kinds that drop; broadcasts to the shape.
        place: of n, by default that around the call.
    """
    operands = {"key": arguments.key_words(key)}
    if threshold is not None:
        operands["threshold"] = _aligned(threshold, len(shape))
    return _at(here(shape) if place is None else place, operands, kind, shape, dtype)


def apply(
    kind: str,
    key: jax.Array,
    x: jax.Array,
    shared: tuple[int, ...] = (),
    *,
    place: Place | None = None,
    **operands: Any,
) -> jax.Array:
    """y = x·(a + b·n) + (c + d·n).

    Args:
        kind: which noise.
        key: one key, or its words.
        x: floating or complex.
        shared: dimensions along which the noise is shared.
        place: of n, by default that around the call.
        **operands: a, b, c, d and the threshold; they broadcast to x.
    """
    shape = reduced(x, shared)
    aligned = {
        name: _aligned(value if name == "threshold" else jnp.asarray(value, precision(x)), x.ndim)
        for name, value in operands.items()
    }
    given = {"key": arguments.key_words(key), "x": x, **aligned}
    return _at(here(shape, shared) if place is None else place, given, kind, shape, x.dtype)


def reduced(x: jax.Array, shared: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of noise that is shared along some dimensions of x."""
    return tuple(1 if axis in shared else size for axis, size in enumerate(x.shape))


def precision(x: jax.Array) -> jnp.dtype:
    """float64 for 64-bit parts, else float32: what the formula is computed in."""
    return jnp.dtype(jnp.float64 if x.dtype in (jnp.float64, jnp.complex128) else jnp.float32)


def _at(
    place: Place,
    operands: dict[str, jax.Array],
    kind: str,
    shape: tuple[int, ...],
    dtype: jax.typing.DTypeLike,
) -> jax.Array:
    if place.start is not None:
        operands["start"] = place.start
    static = {"global_shape": place.whole, "backend": place.backend}
    return affine(operands, kind=kind, shape=shape, dtype=dtype, **static)


def _aligned(value: jax.Array, rank: int) -> jax.Array:
    """With dimensions of size 1 in front, up to a rank."""
    return value.reshape((1,) * (rank - value.ndim) + value.shape)
