"""The integer threshold of a rate, and the rate that a threshold realises."""

import jax
import jax.numpy as jnp

EVERY = 1 << 31  # a threshold of 2^31 drops every element, one of 0 none


def threshold(rate: jax.typing.ArrayLike) -> jax.Array:
    """T in 0…2^31, such that an element is kept if (u >> 1) ≥ T; the rate is rounded to float32.

    T = floor(rate·2^16 + ½)·2^15 if T/2^31 is then within 1/128 of the rate, relative to
    min(rate, 1 − rate), so that the upper 16 bits of u decide alone. Otherwise
    T = floor(rate·2^31 + ½), at least 1 and less than 2^31. T is 0 at rate 0 only and 2^31 at rate
    1 only. No step rounds.

    Args:
        rate: share of the elements dropped, in [0, 1], of any shape. Not checked: values below 0
            count as 0, values above 1 and NaN as 1.

    Returns:
        uint32 of rate's shape.
    """
    rate = jnp.asarray(rate, jnp.float32)
    coarse = _round_half_up(rate * jnp.float32(1 << 16))
    error = jnp.abs(coarse - rate * jnp.float32(1 << 16)) * jnp.float32(128)
    near = error <= jnp.minimum(rate, 1 - rate) * jnp.float32(1 << 16)
    fine = _round_half_up(rate * jnp.float32(EVERY))
    inside = jnp.clip(
        jnp.where(near, coarse * jnp.float32(1 << 15), fine).astype(jnp.uint32), 1, EVERY - 1
    )
    # Compared as bits: compiled code may flush a subnormal rate to zero.
    some = jax.lax.bitcast_convert_type(rate, jnp.int32) > jnp.int32(0)
    return jnp.where(rate < 1, jnp.where(some, inside, jnp.uint32(0)), jnp.uint32(EVERY))


def realised_rate(threshold: jax.Array, dtype: jax.typing.DTypeLike = jnp.float32) -> jax.Array:
    """The share of elements that a threshold drops: T / 2^31."""
    return threshold.astype(dtype) / jnp.asarray(EVERY, dtype)


def keep_scale(threshold: jax.Array, dtype: jax.typing.DTypeLike) -> jax.Array:
    """1 / P(keep) = 2^31 / (2^31 − T), or 0 if nothing is kept."""
    kept = jnp.uint32(EVERY) - threshold
    scale = jnp.asarray(EVERY, dtype) / jnp.maximum(kept, jnp.uint32(1)).astype(dtype)
    return jnp.where(kept == jnp.uint32(0), jnp.zeros((), dtype), scale)


def _round_half_up(value: jax.Array) -> jax.Array:
    """floor(value + ½), without the rounding error of the sum."""
    down = jnp.floor(value)
    return jnp.where(value - down >= jnp.float32(0.5), down + 1, down)
