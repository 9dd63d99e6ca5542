"""Weak types: float32 that gives way to bfloat16, as in jnp.full(shape, 1.0)."""

import jax


def weakly_typed_as(y: jax.Array, x: jax.Array) -> jax.Array:
    """y, weakly typed if x is and has the same dtype.

    JAX has no public function for it. Where the primitive of its own that can do so is another one
    day, y stays strongly typed.
    """
    if not jax.typeof(x).weak_type or x.dtype != y.dtype:
        return y
    try:
        return jax.lax.convert_element_type_p.bind(
            y, new_dtype=y.dtype, weak_type=True, sharding=None
        )
    except (AttributeError, TypeError):
        return y
