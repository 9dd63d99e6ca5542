"""Comparison of trees of arrays, and messages about their differences."""

from collections.abc import Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np


def leaves(tree: Any, name: str) -> list[tuple[str, Any]]:
    """(name followed by path, leaf) for each leaf; the words of keys that are typed."""
    named, _ = jax.tree_util.tree_flatten_with_path(tree)
    return [(f"{name}{jax.tree_util.keystr(path)}", _plain(leaf)) for path, leaf in named]


def _plain(leaf: Any) -> Any:
    is_key = jnp.issubdtype(getattr(leaf, "dtype", np.float32), jax.dtypes.prng_key)
    return jax.random.key_data(leaf) if is_key else leaf


def assert_same_types(one: Any, other: Any) -> None:
    """Asserts that trees have the same structure, and leaves the same shapes and dtypes."""
    types = [jax.tree.map(_type, tree) for tree in (one, other)]
    chex.assert_trees_all_equal_structs(*types)
    chex.assert_trees_all_equal_shapes_and_dtypes(*types)


def _type(leaf: Any) -> jax.ShapeDtypeStruct:
    aval = leaf if isinstance(leaf, jax.ShapeDtypeStruct) else jax.typeof(leaf)
    return jax.ShapeDtypeStruct(aval.shape, aval.dtype)


def difference(path: str, one: Any, other: Any, ulps: int) -> str | None:
    """A message if arrays differ by more than ulps, else None; NaN equals NaN."""
    one, other = np.asarray(one), np.asarray(other)
    same = one == other
    if jnp.issubdtype(one.dtype, jnp.inexact):
        same = same | (_distance(one, other) <= ulps)
    if np.all(same):
        return None
    first = tuple(int(i) for i in np.argwhere(~same)[0])
    return (
        f"{path}: {np.sum(~same)} of {one.size} elements by more than {ulps} ulp; "
        f"first at {list(first)}: {one[first]!s} and {other[first]!s}"
    )


def report(headline: str, found: Sequence[str | None]) -> None:
    """Raises an AssertionError with the messages found, one per line, if there are any."""
    lines = [line for line in found if line is not None]
    if lines:
        raise AssertionError("\n  ".join([headline, *lines]))


def is_inexact(leaf: Any) -> bool:
    """Whether a leaf is a floating or complex number or array."""
    if not isinstance(leaf, float | complex) and not hasattr(leaf, "dtype"):
        return False
    return jnp.issubdtype(jax.typeof(leaf).dtype, jnp.inexact)


def as_bytes(x: Any) -> np.ndarray:
    """The bytes of an array in row-major order."""
    return np.frombuffer(np.asarray(x).tobytes(), np.uint8)


def _distance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """|one − other| in units in the last place of the larger element; 0 between two NaN."""
    wide = np.complex128 if np.iscomplexobj(one) else np.float64
    a, b = one.astype(wide), other.astype(wide)
    info = jnp.finfo(one.dtype)
    with np.errstate(invalid="ignore", over="ignore"):
        size = np.maximum(np.maximum(np.abs(a), np.abs(b)), float(info.tiny))
        _, exponent = np.frexp(size)
        distance = np.abs(a - b) / np.ldexp(float(info.eps), exponent - 1)
    return np.where(np.isnan(a) & np.isnan(b), 0, distance)
