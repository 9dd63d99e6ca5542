"""Checks of rates, standard deviations and other numeric parameters.

Values on the host are checked: Python and NumPy numbers, and JAX arrays on CPU. Traced values are
not, nor those on a GPU or TPU, which a check would have to wait for. A shape of None is not known
yet, and broadcasting to it is not checked.
"""

import math
import numbers
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flaxnoise.arguments.arrays import as_numpy, on_host, short
from flaxnoise.arguments.shapes import broadcastable


def rate(owner: str, value: Any, shape: Sequence[Any] | None, *, below_one: bool = False) -> Any:
    """Checks a rate that broadcasts to a shape.

    Raises:
        TypeError: not a real number or array of them.
        ValueError: outside [0, 1], or 1 with ``below_one``; or does not broadcast.
    """
    value, known = _real(owner, "rate", value, shape)
    if known is None:
        return value
    if not np.all((known >= 0) & (known <= 1)):
        raise ValueError(
            f"{owner}: rate must be in [0, 1], got {_value(known)}. "
            "It is the share of elements dropped, not kept."
        )
    # Rates are rounded to float32, where a rate just below 1 may become 1.
    if below_one and np.any(known.astype(np.float32) == 1):
        raise ValueError(
            f"{owner}: rate must be in [0, 1), got {_value(known)}. "
            "The standard deviation √(rate/(1 − rate)) of the noise is infinite at rate 1."
        )
    return value


def static_rate(owner: str, value: Any) -> float:
    """Checks a rate that must be a single number and known while tracing.

    Raises:
        TypeError: traced, on an accelerator, or not a real number.
        ValueError: outside [0, 1], or an array with dimensions.
    """
    if not on_host(value):
        raise TypeError(f"{owner}: rate must be known while tracing, got {short(value)}.")
    return float(rate(owner, value, ()))


def nonnegative(
    owner: str, name: str, value: Any, shape: Sequence[Any] | None, dtype: Any = None
) -> Any:
    """Checks a finite number ≥ 0, or an array of them that broadcasts to a shape.

    Raises:
        TypeError: not a real number or array of them.
        ValueError: negative or not finite; or does not broadcast.
    """
    value, known = _real(owner, name, value, shape)
    if known is not None and not np.all((known >= 0) & (known <= _largest(dtype))):
        raise ValueError(f"{owner}: {name} must be finite and ≥ 0, got {_value(known)}.")
    return value


def positive(
    owner: str, name: str, value: Any, shape: Sequence[Any] | None, dtype: Any = None
) -> Any:
    """Checks a finite number > 0, or an array of them that broadcasts to a shape.

    Raises:
        TypeError: not a real number or array of them.
        ValueError: not positive or not finite; or does not broadcast.
    """
    value, known = _real(owner, name, value, shape)
    if known is not None and not np.all((known > 0) & (known <= _largest(dtype))):
        raise ValueError(f"{owner}: {name} must be finite and > 0, got {_value(known)}.")
    return value


def is_zero(value: Any) -> bool:
    """Whether the value is the number 0 and not an array, so that a program needs no noise."""
    return isinstance(value, numbers.Real) and value == 0


def finite(
    owner: str, name: str, value: Any, shape: Sequence[Any] | None, dtype: Any = None
) -> Any:
    """Checks a finite number, or an array of them that broadcasts to a shape.

    Raises:
        TypeError: not a real number or array of them.
        ValueError: not finite; or does not broadcast.
    """
    value, known = _real(owner, name, value, shape)
    if known is not None and not np.all(np.abs(known) <= _largest(dtype)):
        raise ValueError(f"{owner}: {name} must be finite, got {_value(known)}.")
    return value


def real(owner: str, name: str, value: Any, shape: Sequence[Any] | None) -> Any:
    """Checks a real number, which may be infinite, or an array that broadcasts to a shape.

    Raises:
        TypeError: not a real number or array of them.
        ValueError: NaN; or does not broadcast.
    """
    value, known = _real(owner, name, value, shape)
    if known is not None and np.any(np.isnan(known)):
        raise ValueError(f"{owner}: {name} must be a number, got {_value(known)}.")
    return value


def _real(
    owner: str, name: str, value: Any, shape: Sequence[Any] | None
) -> tuple[Any, np.ndarray | None]:
    """(value, Python integers as floats; its copy on the host, or None unless ``on_host``)."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = _as_float(value)
    number = value if isinstance(value, jax.Array) else as_numpy(value)
    if number is None or not (
        jnp.issubdtype(number.dtype, jnp.floating) or jnp.issubdtype(number.dtype, jnp.integer)
    ):
        raise TypeError(f"{owner}: {name} must be a real number, got {short(value)}.")
    if shape is not None:
        broadcastable(owner, name, number.shape, tuple(shape))
    return value, np.asarray(number).astype(np.float64) if on_host(number) else None


def _as_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _largest(dtype: Any) -> float:
    """The largest finite number of the precision in which parameters are applied to a dtype."""
    wide = jnp.result_type(float) if dtype is None else dtype
    return float(
        jnp.finfo(jnp.float64 if wide in (jnp.float64, jnp.complex128) else jnp.float32).max
    )


def _value(known: np.ndarray) -> str:
    return str(known.item()) if math.prod(known.shape) == 1 else np.array2string(known, threshold=8)
