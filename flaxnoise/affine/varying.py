"""Varying manual axes: under shard_map, all operands of a call must vary over the same axes."""

from collections.abc import Sequence
from typing import Any

import jax
from jax import lax

from flaxnoise.affine.private import varying_axes


def unify(values: Sequence[jax.Array]) -> list[jax.Array]:
    """Marks all values as varying over every manual axis that any of them varies over."""
    axes = [varying_axes(value) for value in values]
    union = frozenset().union(*axes)
    if not union:
        return list(values)
    missing = [tuple(sorted(union - own)) for own in axes]
    return [
        lax.pcast(value, names, to="varying") if names else value
        for value, names in zip(values, missing, strict=True)
    ]


def unified(tree: Any) -> Any:
    """Like ``unify``, for the leaves of a tree."""
    leaves, structure = jax.tree.flatten(tree)
    return jax.tree.unflatten(structure, unify(leaves))
