"""Sizes of dimensions: Python integers, or symbols in programs exported with symbolic shapes."""

import math
import operator
from collections.abc import Iterable, Sequence
from typing import Any

import jax


def static_sizes(shape: Iterable[Any]) -> tuple[Any, ...]:
    """A shape whose sizes are Python integers or symbolic.

    NumPy integers equal Python's and have the same hash, so a jitted function with such a static
    argument would reuse the program that was traced for the other type.

    Raises:
        TypeError: a size is neither an integer nor symbolic.
    """
    return tuple(
        size if jax.export.is_symbolic_dim(size) else operator.index(size) for size in shape
    )


def are_known(sizes: Iterable[Any]) -> bool:
    """Whether all sizes are known, none of them symbolic."""
    return all(isinstance(size, int) for size in sizes)


def is_one(size: Any) -> bool:
    """Whether a size is known to be 1; a symbolic size is not."""
    return isinstance(size, int) and size == 1


def needs_64_bits(shape: Iterable[Any]) -> bool:
    """Whether an array of this shape may have linear indices beyond 32 bits."""
    try:
        return math.prod(shape) > 1 << 32
    except jax.errors.InconclusiveDimensionOperation:
        return True


def broadcast_sizes(shapes: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    """The broadcast of several shapes of the same rank.

    Raises:
        ValueError: the shapes do not broadcast.
    """
    result = list(shapes[0])
    for shape in shapes[1:]:
        for axis, size in enumerate(shape):
            if is_one(result[axis]):
                result[axis] = size
            elif not (is_one(size) or size == result[axis]):
                raise ValueError(f"flaxnoise: dimensions {shapes} do not fit each other.")
    return tuple(result)
