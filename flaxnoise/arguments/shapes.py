"""Checks of shapes, dimensions and options."""

import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from flaxnoise.arguments.arrays import short
from flaxnoise.stream.sizes import is_one


def dimensions(
    owner: str, broadcast_dims: int | Sequence[int], rank: int | None
) -> tuple[int, ...]:
    """broadcast_dims as sorted dimensions, non-negative if the rank is known.

    Raises:
        TypeError: not integers.
        ValueError: a dimension is out of range, or repeated.
    """
    try:
        given = _each(broadcast_dims)
        if any(isinstance(dim, bool) for dim in given):
            raise TypeError
        dims = [operator.index(dim) for dim in given]
    except (TypeError, AttributeError):
        raise TypeError(
            f"{owner}: broadcast_dims must be an integer or a sequence of them, "
            f"got {short(broadcast_dims)}."
        ) from None
    for dim in dims:
        if rank is not None and not -rank <= dim < rank:
            raise ValueError(
                f"{owner}: broadcast_dims must be dimensions of x, which has {rank}, "
                f"got {short(dim)}."
            )
    normal = sorted(dims if rank is None else (dim % rank for dim in dims))
    if len(set(normal)) < len(normal):
        raise ValueError(
            f"{owner}: broadcast_dims must not repeat a dimension, got {short(broadcast_dims)}."
        )
    return tuple(normal)


def sides(owner: str, name: str, value: Any, number: int) -> tuple[int, ...]:
    """One integer ≥ 1 for each spatial dimension; a single integer stands for all of them.

    Raises:
        TypeError: not integers.
        ValueError: an integer is too small, or their number is wrong.
    """
    given = _each(value)
    if len(given) == 1 and given[0] is value:
        given = given * number
    if len(given) != number:
        raise ValueError(f"{owner}: {name} must be one integer or {number}, got {short(value)}.")
    return tuple(count(owner, name, side) for side in given)


def count(owner: str, name: str, value: Any, least: int = 1) -> int:
    """Checks an integer, which must be at least ``least``.

    Raises:
        TypeError: not an integer.
        ValueError: too small.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except (TypeError, AttributeError):
        raise TypeError(f"{owner}: {name} must be an integer, got {short(value)}.") from None
    if number < least:
        raise ValueError(f"{owner}: {name} must be at least {least}, got {short(number)}.")
    return number


def one_of(owner: str, name: str, value: Any, allowed: Sequence[str]) -> Any:
    """Checks a string, which must be one of several.

    Raises:
        ValueError: not one of them.
    """
    if not (isinstance(value, str) and value in allowed):
        words = " or ".join(map(repr, allowed))
        raise ValueError(f"{owner}: {name} must be {words}, got {short(value)}.")
    return value


def flag(owner: str, name: str, value: Any) -> bool:
    """Checks a bool.

    Raises:
        TypeError: not True or False; traced bools included.
    """
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{owner}: {name} must be True or False, got {short(value)}.")
    return bool(value)


def function(owner: str, name: str, value: Any) -> Any:
    """Checks a function.

    Raises:
        TypeError: not callable.
    """
    if not callable(value):
        raise TypeError(f"{owner}: {name} must be a function, got {short(value)}.")
    return value


def at_least_dimensions(owner: str, x: jax.Array, rank: int, name: str = "x") -> None:
    """Checks that x has at least ``rank`` dimensions.

    Raises:
        ValueError: x has fewer.
    """
    if x.ndim < rank:
        raise ValueError(
            f"{owner}: {name} must have at least {rank} dimensions, got the shape {x.shape}."
        )


def of_shape(owner: str, name: str, value: jax.Array, shape: tuple[int, ...]) -> None:
    """Checks that an array has a shape.

    Raises:
        ValueError: it has another one.
    """
    if value.shape != shape:
        raise ValueError(f"{owner}: {name} must have the shape {shape}, got {value.shape}.")


def broadcastable(owner: str, name: str, own: tuple[Any, ...], shape: tuple[Any, ...]) -> None:
    """Checks that a shape broadcasts to another.

    Raises:
        ValueError: it does not.
    """
    if own and not broadcasts(own, tuple(shape)):
        raise ValueError(
            f"{owner}: {name} must be a scalar or broadcast to the shape {tuple(shape)} of x, "
            f"got the shape {own}."
        )


def broadcasts(own: tuple[Any, ...], shape: tuple[Any, ...]) -> bool:
    """Whether an array of the first shape broadcasts to the second."""
    if len(own) > len(shape):
        return False
    pairs = zip(reversed(own), reversed(shape), strict=False)
    return all(is_one(a) or a == b for a, b in pairs)


def _each(value: Any) -> tuple[Any, ...]:
    """The items of a list, tuple or array; for anything else, a tuple of the value itself."""
    if isinstance(value, str | bytes | Mapping) or getattr(value, "ndim", 1) == 0:
        return (value,)
    return tuple(value) if isinstance(value, Iterable) else (value,)
