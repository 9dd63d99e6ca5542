"""Checks of arrays."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer


def inexact(owner: str, x: Any, *, complex_too: bool, name: str = "x") -> jax.Array:
    """x as an array that noise can be applied to.

    Raises:
        TypeError: x is not floating, nor complex where that is allowed.
    """
    try:
        x = jnp.asarray(x)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"{owner}: {name} must be an array, got {short(x)}.") from None
    if jnp.issubdtype(x.dtype, jnp.floating):
        return x
    if not jnp.issubdtype(x.dtype, jnp.complexfloating):
        allowed = "floating or complex" if complex_too else "floating"
        raise TypeError(f"{owner}: {name} must be {allowed}, got {short(x)}.")
    if not complex_too:
        raise TypeError(
            f"{owner}: {name} must be floating, got {short(x)}. Complex noise is not offered; "
            "add noise to the real and imaginary parts, each with a key of its own."
        )
    return x


def floating(owner: str, name: str, value: Any) -> jax.Array:
    """A floating array.

    Raises:
        TypeError: not an array, or one of another dtype.
    """
    try:
        array = jnp.asarray(value) if hasattr(value, "shape") else None
    except (TypeError, ValueError):
        array = None
    if array is None or not jnp.issubdtype(array.dtype, jnp.floating):
        raise TypeError(f"{owner}: {name} must be a floating array, got {short(value)}.")
    return array


def integers(owner: str, name: str, value: Any, like: Any = None) -> jax.Array:
    """The value as an array of integers, without truncation.

    Args:
        owner: name of the function that is called, for messages.
        name: name of the argument.
        value: the argument.
        like: dtype of the result; by default that which JAX gives to such an array, of 32 bits
            unless jax_enable_x64 is set.

    Raises:
        TypeError: the value is not made of integers.
        ValueError: a concrete value does not fit into the dtype.
    """
    known = unconverted_integers(owner, name, value)
    own = jax.dtypes.canonicalize_dtype(known.dtype)
    dtype = jnp.dtype(own if like is None else like)
    if on_host(known):
        values = np.asarray(known)
        wrong = values[~fitting(values, dtype)]
        if wrong.size:
            remedy = " Set jax_enable_x64 for 64-bit integers." if like is None else ""
            raise ValueError(f"{owner}: {name} must fit into {dtype}, got {wrong[0]}.{remedy}")
    return jnp.asarray(known) if known.dtype == dtype else jnp.asarray(known, dtype)


def unconverted_integers(owner: str, name: str, value: Any) -> jax.Array | np.ndarray:
    """The value as an array of integers with all of their bits: JAX's if it is one, else NumPy's.

    Raises:
        TypeError: the value is not made of integers.
        ValueError: an integer has more than 64 bits.
    """
    if isinstance(value, jax.Array):
        known = value
    else:
        known = as_numpy(value)
        if known is not None and known.dtype == object and _are_integers(known):
            raise ValueError(f"{owner}: {name} must fit into 64 bits, got {short(value)}.")
        if known is not None and known.size == 0 and not isinstance(value, np.ndarray):
            known = known.astype(np.int32)
    if known is None or not jnp.issubdtype(known.dtype, jnp.integer):
        raise TypeError(f"{owner}: {name} must be integers, got {short(value)}.")
    return known


def fitting(values: np.ndarray, dtype: Any) -> np.ndarray:
    """Elementwise, whether an integer fits into a dtype."""
    limits = jnp.iinfo(dtype)
    return (values >= limits.min) & (values <= limits.max)


def on_host(value: Any) -> bool:
    """Whether the values can be read on the host without a transfer from a device.

    False for traced arrays, arrays on a GPU or TPU, and arrays that are partly in other processes.
    """
    if isinstance(value, Tracer):
        return False
    if isinstance(value, jax.Array):
        return value.is_fully_addressable and all(
            device.platform == "cpu" for device in value.devices()
        )
    return True


def short(value: Any) -> str:
    """A value as error messages show it."""
    if isinstance(value, jax.Array | np.ndarray | np.generic):
        return f"{value.dtype}[{','.join(map(str, value.shape))}]"
    kind = type(value).__name__
    try:
        text = " ".join(repr(value).split())
    except Exception:  # a message about one mistake must not raise another
        return f"an object of type {kind}"
    return text if len(text) <= 80 else f"{text[:60]}… of type {kind}"


def as_numpy(value: Any) -> np.ndarray | None:
    """A number, list or array as a NumPy array; None if it is none of these."""
    try:
        return np.asarray(value)
    except (TypeError, ValueError, OverflowError, AttributeError):
        return None


def _are_integers(values: np.ndarray) -> bool:
    return all(isinstance(each, int) and not isinstance(each, bool) for each in values.ravel())
