"""Arguments, checked once for every function and layer, with one text for each mistake."""

import math
import operator
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

KEY_WORDS = 4


def single_key(owner: str, key: Any) -> Any:
    """A key, typed or raw, of at most four words.

    Raises:
        TypeError: not a key.
        ValueError: a batch of keys.
    """
    if key is None:
        raise TypeError(f"{owner}: key is missing. Pass one, such as jax.random.key(0).")
    dtype = getattr(key, "dtype", None)
    typed = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)
    if not typed and (dtype != jnp.uint32 or key.shape[-1:] not in ((1,), (2,), (KEY_WORDS,))):
        raise TypeError(f"{owner}: key must be a jax.random key, got {_short(key)}.")
    batch = tuple(key.shape) if typed else tuple(key.shape)[:-1]
    if batch:
        raise ValueError(
            f"{owner}: key must be a single key, got a batch of keys of shape {batch}. "
            "Map over them with jax.vmap."
        )
    return key


def key_words(key: jax.Array) -> jax.Array:
    """uint32[4] of a key; the words that it lacks are 0."""
    typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    words = jax.random.key_data(key) if typed else key
    return jnp.concatenate([words, jnp.zeros(KEY_WORDS - words.size, jnp.uint32)])


def inexact(owner: str, x: Any, *, complex_too: bool) -> jax.Array:
    """x as an array that noise can be applied to.

    Raises:
        TypeError: x is not floating, nor complex where that is allowed.
    """
    try:
        x = jnp.asarray(x)
    except (TypeError, ValueError):
        raise TypeError(f"{owner}: x must be an array, got {_short(x)}.") from None
    if jnp.issubdtype(x.dtype, jnp.floating):
        return x
    if not jnp.issubdtype(x.dtype, jnp.complexfloating):
        allowed = "floating or complex" if complex_too else "floating"
        raise TypeError(f"{owner}: x must be {allowed}, got {_short(x)}.")
    if not complex_too:
        raise TypeError(
            f"{owner}: x must be floating, got {_short(x)}. Complex noise is not offered; "
            "add noise to the real and imaginary parts, each with a key of its own."
        )
    return x


def rate(owner: str, value: Any, shape: Sequence[Any], *, below_one: bool = False) -> Any:
    """A rate that broadcasts to a shape; its values are checked where they are known.

    Raises:
        TypeError: not a real number or array of them.
        ValueError: outside [0, 1], or equal to 1 where that is excluded; or does not broadcast.
    """
    known = _real(owner, "rate", value, shape)
    if known is None:
        return value
    if not np.all((known >= 0) & (known <= 1)):
        raise ValueError(
            f"{owner}: rate must be in [0, 1], got {_value(known)}. "
            "It is the share of elements dropped, not kept."
        )
    # Rates are float32: one that rounds to 1 is 1.
    if below_one and np.any(known.astype(np.float32) == 1):
        raise ValueError(
            f"{owner}: rate must be in [0, 1), got {_value(known)}. "
            "The standard deviation √(rate/(1 − rate)) of the noise is infinite at rate 1."
        )
    return value


def nonnegative(owner: str, name: str, value: Any, shape: Sequence[Any]) -> Any:
    """A finite number ≥ 0, or an array of them that broadcasts to a shape, checked where known.

    Raises:
        TypeError: not a real number or array of them.
        ValueError: negative or not finite; or does not broadcast.
    """
    known = _real(owner, name, value, shape)
    if known is not None and not np.all((known >= 0) & (known < np.inf)):
        raise ValueError(f"{owner}: {name} must be finite and ≥ 0, got {_value(known)}.")
    return value


def dimensions(owner: str, broadcast_dims: int | Sequence[int], rank: int) -> tuple[int, ...]:
    """broadcast_dims as sorted non-negative dimensions.

    Raises:
        TypeError: not integers.
        ValueError: out of range, or one dimension named twice.
    """
    given = broadcast_dims if isinstance(broadcast_dims, Sequence) else (broadcast_dims,)
    try:
        if any(isinstance(dim, bool | str) for dim in given):
            raise TypeError
        dims = [operator.index(dim) for dim in given]
    except TypeError:
        raise TypeError(
            f"{owner}: broadcast_dims must be an integer or a sequence of them, "
            f"got {broadcast_dims!r}."
        ) from None
    for dim in dims:
        if not -rank <= dim < rank:
            raise ValueError(
                f"{owner}: broadcast_dims must be dimensions of x, which has {rank}, got {dim}."
            )
    normal = sorted(dim % rank for dim in dims)
    if len(set(normal)) < len(normal):
        raise ValueError(
            f"{owner}: broadcast_dims must not repeat a dimension, got {broadcast_dims!r}."
        )
    return tuple(normal)


def _real(owner: str, name: str, value: Any, shape: Sequence[Any]) -> np.ndarray | None:
    """The values where they are known, None where they are traced."""
    if isinstance(value, jax.core.Tracer):
        dtype, own = value.dtype, value.shape
    else:
        known = None if value is None else np.asarray(value)
        if known is None or known.dtype == object:
            raise TypeError(f"{owner}: {name} must be a real number, got {_short(value)}.")
        dtype, own = known.dtype, known.shape
    if not (jnp.issubdtype(dtype, jnp.floating) or jnp.issubdtype(dtype, jnp.integer)):
        raise TypeError(f"{owner}: {name} must be a real number, got {_short(value)}.")
    if own and not _broadcasts(own, tuple(shape)):
        raise ValueError(
            f"{owner}: {name} must be a scalar or broadcast to the shape {tuple(shape)} of x, "
            f"got the shape {own}."
        )
    if isinstance(value, jax.core.Tracer):
        return None
    return known.astype(np.float64)


def _broadcasts(own: tuple[Any, ...], shape: tuple[Any, ...]) -> bool:
    if len(own) > len(shape):
        return False
    pairs = zip(reversed(own), reversed(shape), strict=False)
    return all((isinstance(a, int) and a == 1) or a == b for a, b in pairs)


def _value(known: np.ndarray) -> str:
    return str(known.item()) if math.prod(known.shape) == 1 else np.array2string(known, threshold=8)


def _short(value: Any) -> str:
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"{value.dtype}[{','.join(map(str, value.shape))}]"
    return repr(value)
