"""Shapes and dimensions."""

import operator
from collections.abc import Iterable, Sequence
from typing import Any

import jax

from flaxnoise.arguments.arrays import short
from flaxnoise.stream.sizes import is_one


def dimensions(owner: str, broadcast_dims: int | Sequence[int], rank: int) -> tuple[int, ...]:
    """broadcast_dims as sorted non-negative dimensions.

    Raises:
        TypeError: not integers.
        ValueError: out of range, or one dimension named twice.
    """
    given = broadcast_dims if isinstance(broadcast_dims, Iterable) else (broadcast_dims,)
    try:
        given = tuple(given)
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


def sides(owner: str, name: str, value: Any, number: int) -> tuple[int, ...]:
    """One integer ≥ 1 for each dimension of space.

    Raises:
        TypeError: not integers.
        ValueError: too small, or too few or too many.
    """
    given = tuple(value) if isinstance(value, Sequence) else (value,) * number
    if len(given) != number:
        raise ValueError(f"{owner}: {name} must be one integer or {number}, got {value!r}.")
    return tuple(count(owner, name, side) for side in given)


def count(owner: str, name: str, value: Any, least: int = 1) -> int:
    """An integer that is large enough.

    Raises:
        TypeError: not an integer.
        ValueError: too small.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{owner}: {name} must be an integer, got {short(value)}.") from None
    if number < least:
        raise ValueError(f"{owner}: {name} must be at least {least}, got {number}.")
    return number


def one_of(owner: str, name: str, value: Any, allowed: Sequence[str]) -> Any:
    """A word of a list.

    Raises:
        ValueError: another one.
    """
    if value not in allowed:
        words = " or ".join(map(repr, allowed))
        raise ValueError(f"{owner}: {name} must be {words}, got {value!r}.")
    return value


def at_least_dimensions(owner: str, x: jax.Array, rank: int) -> None:
    """Demands that x has as many dimensions as the function speaks of.

    Raises:
        ValueError: it has fewer.
    """
    if x.ndim < rank:
        raise ValueError(
            f"{owner}: x must have at least {rank} dimensions, got the shape {x.shape}."
        )


def of_shape(owner: str, name: str, value: jax.Array, shape: tuple[int, ...]) -> None:
    """Demands a shape.

    Raises:
        ValueError: another one.
    """
    if value.shape != shape:
        raise ValueError(f"{owner}: {name} must have the shape {shape}, got {value.shape}.")


def broadcastable(owner: str, name: str, own: tuple[Any, ...], shape: tuple[Any, ...]) -> None:
    """Demands that a shape broadcasts to another.

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
