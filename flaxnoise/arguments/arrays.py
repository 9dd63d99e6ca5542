"""Arrays: what noise can be applied to."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer


def inexact(owner: str, x: Any, *, complex_too: bool) -> jax.Array:
    """x as an array that noise can be applied to.

    Raises:
        TypeError: x is not floating, nor complex where that is allowed.
    """
    try:
        x = jnp.asarray(x)
    except (TypeError, ValueError):
        raise TypeError(f"{owner}: x must be an array, got {short(x)}.") from None
    if jnp.issubdtype(x.dtype, jnp.floating):
        return x
    if not jnp.issubdtype(x.dtype, jnp.complexfloating):
        allowed = "floating or complex" if complex_too else "floating"
        raise TypeError(f"{owner}: x must be {allowed}, got {short(x)}.")
    if not complex_too:
        raise TypeError(
            f"{owner}: x must be floating, got {short(x)}. Complex noise is not offered; "
            "add noise to the real and imaginary parts, each with a key of its own."
        )
    return x


def floating(owner: str, name: str, value: Any) -> jax.Array:
    """A floating array.

    Raises:
        TypeError: of another dtype, or no array.
    """
    dtype = getattr(value, "dtype", None)
    if dtype is None or not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(f"{owner}: {name} must be a floating array, got {short(value)}.")
    return jnp.asarray(value)


def integers(owner: str, name: str, value: Any, like: Any = None) -> jax.Array:
    """An array of integers, of a dtype that must hold them if one is given.

    Raises:
        TypeError: not integers.
        ValueError: out of the dtype's range.
    """
    known = value if isinstance(value, jax.Array) else np.asarray(value)
    if known.size == 0 and not isinstance(value, jax.Array | np.ndarray):
        known = known.astype(np.int32)
    if not jnp.issubdtype(known.dtype, jnp.integer):
        raise TypeError(f"{owner}: {name} must be integers, got {short(value)}.")
    if like is None:
        return jnp.asarray(known)
    if not isinstance(value, Tracer):
        range_ = jnp.iinfo(like)
        if np.any((np.asarray(known) < range_.min) | (np.asarray(known) > range_.max)):
            raise ValueError(f"{owner}: {name} must fit into {like}, got {value}.")
    return jnp.asarray(known, like)


def short(value: Any) -> str:
    """A value as messages name it."""
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"{value.dtype}[{','.join(map(str, value.shape))}]"
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:60]}… of type {type(value).__name__}"
