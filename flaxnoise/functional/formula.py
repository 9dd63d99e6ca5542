"""Helpers that turn arguments of functions into coefficients of the formula."""

import functools

import jax
import jax.numpy as jnp

from flaxnoise.affine import apply as apply
from flaxnoise.affine import keep_scale, threshold
from flaxnoise.affine import precision as precision
from flaxnoise.affine import without_local_shard as without_local_shard


def explicit_sharding(x: jax.Array) -> jax.sharding.NamedSharding | None:
    """The sharding of x if it is part of x's type (a mesh with explicit axes), else None."""
    sharding = jax.typeof(x).sharding
    return sharding if jax.sharding.AxisType.Explicit in sharding.mesh.axis_types else None


@functools.partial(jax.jit, static_argnames="dtype")
def bernoulli(rate: jax.Array, *, dtype: jnp.dtype) -> tuple[jax.Array, jax.Array]:
    """(threshold, 1/P(keep)). Not inlined: one equation in the caller's jaxpr, not thirty."""
    drop = threshold(rate)
    return drop, keep_scale(drop, dtype)


def finite(stddev: jax.typing.ArrayLike, dtype: jnp.dtype) -> jax.Array:
    """The value as an array of a dtype, with 0 in place of inf and NaN."""
    stddev = jnp.asarray(stddev, dtype)
    return jnp.where(jnp.isfinite(stddev), stddev, 0)
