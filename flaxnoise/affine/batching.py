"""The batching rule: vmap adds a batch dimension in front of every operand."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.interpreters import batching

from flaxnoise.affine.primitive import affine, affine_p
from flaxnoise.backends.contract import named


def _batch(values: Any, dims: Any, *, names: tuple[str, ...], **params: Any) -> tuple[Any, int]:
    return affine(named(names, map(_to_front, values, dims)), **params), 0


def _to_front(value: jax.Array, dim: int | None) -> jax.Array:
    return jnp.expand_dims(value, 0) if dim is None else jnp.moveaxis(value, dim, 0)


batching.primitive_batchers[affine_p] = _batch
