"""The way from a function's arguments to the affine primitive."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from flaxnoise import arguments
from flaxnoise.affine import affine, located
from flaxnoise.stream.noise import Kind
from flaxnoise.stream.threshold import keep_scale, threshold


def apply(
    kind: Kind, key: jax.Array, x: jax.Array, dims: tuple[int, ...], **operands: Any
) -> jax.Array:
    """The primitive on x, with coefficients that broadcast to it."""
    aligned = {
        name: _aligned(value if name == "threshold" else jnp.asarray(value, precision(x)), x.ndim)
        for name, value in operands.items()
    }
    shape = tuple(1 if axis in dims else size for axis, size in enumerate(x.shape))
    operands = {"key": arguments.key_words(key), "x": x, **aligned}
    operands, whole = located(operands, shape, dims)
    return affine(operands, kind=kind, shape=shape, dtype=x.dtype, global_shape=whole)


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
