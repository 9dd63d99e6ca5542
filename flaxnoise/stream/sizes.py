"""Sizes of dimensions: Python integers, or symbols in a program exported for any size."""

import math
import operator
from collections.abc import Iterable, Sequence
from typing import Any

import jax


def static_sizes(shape: Iterable[Any]) -> tuple[Any, ...]:
    """A shape with every size a Python integer, save symbolic ones.

    NumPy integers equal Python's and hash alike: in a jitted function's static arguments one of
    them would serve the other's calls from the cache.

    Raises:
        TypeError: a size is neither an integer nor symbolic.
    """
    return tuple(
        size if jax.export.is_symbolic_dim(size) else operator.index(size) for size in shape
    )


def are_known(sizes: Iterable[Any]) -> bool:
    """Whether no size is symbolic."""
    return all(isinstance(size, int) for size in sizes)


def is_one(size: Any) -> bool:
    """Whether a size is known to be 1, which a symbolic one never is."""
    return isinstance(size, int) and size == 1


def needs_64_bits(shape: Iterable[Any]) -> bool:
    """Whether an array may have elements whose linear index exceeds 32 bits."""
    try:
        return math.prod(shape) > 1 << 32
    except jax.errors.InconclusiveDimensionOperation:
        return True


def broadcast_sizes(shapes: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    """One shape out of several of the same rank, each dimension 1 or the result's.

    Raises:
        ValueError: they do not fit each other.
    """
    result = list(shapes[0])
    for shape in shapes[1:]:
        for axis, size in enumerate(shape):
            if is_one(result[axis]):
                result[axis] = size
            elif not (is_one(size) or size == result[axis]):
                raise ValueError(f"flaxnoise: dimensions {shapes} do not fit each other.")
    return tuple(result)
