"""Loops over tiles: splits arrays into blocks of queries and keys, and scans over the blocks."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from flaxnoise.affine import varying
from flaxnoise.functional.attention.plan import Given, Plan, Tile
from flaxnoise.functional.attention.tiles import is_seen


def query_blocks(x: jax.Array, tile: Tile, kv_heads: int, padding: float = 0) -> jax.Array:
    """[B, T, N, …] → [n, B, K, G, r, …], padded to whole blocks."""
    x = _split(padded(x, 1, tile.rows, padding), 1, tile.rows)
    x = _split(x, 3, x.shape[3] // kv_heads)
    return x.transpose(1, 0, 3, 4, 2, *range(5, x.ndim))


def from_query_blocks(x: jax.Array, length: int) -> jax.Array:
    """The inverse of query_blocks, without the padding."""
    x = _joined(_joined(x.transpose(1, 0, 4, 2, 3, *range(5, x.ndim)), 3), 1)
    return lax.slice_in_dim(x, 0, length, axis=1)


def key_blocks(x: jax.Array, tile: Tile) -> jax.Array:
    """[B, S, K, D] → [n, B, K, D, c], padded to whole blocks."""
    return _split(padded(x, 1, tile.columns), 1, tile.columns).transpose(1, 0, 3, 4, 2)


def by_heads(x: jax.Array, tile: Tile, kv_heads: int) -> jax.Array:
    """[B|1, N|1, T|1, S|1] → [B|1, K|1, G|1, T|1, S|1], padded to whole tiles."""
    heads = (1, 1) if x.shape[1] == 1 else (kv_heads, x.shape[1] // kv_heads)
    x = x.reshape(x.shape[0], *heads, *x.shape[2:])
    x = padded(x, 3, tile.rows) if x.shape[3] != 1 else x
    return padded(x, 4, tile.columns) if x.shape[4] != 1 else x


def weight_blocks(
    pair: tuple[jax.Array | None, jax.Array | None], axis: int, block: int
) -> tuple[jax.Array | None, jax.Array | None] | None:
    """[…, size, …] → [n, …, block, …] along an axis; None for absent arrays or an axis of size 1.

    As scanned operands of a loop, the blocks have gradients that are stacked block by block. The
    gradient of a slice taken inside of the loop would have the size of the full array.
    """
    x = pair[0]
    if x is None or x.shape[axis] == 1:
        return None
    return jax.tree.map(lambda x: jnp.moveaxis(_split(x, axis, block), axis, 0), pair)


def _split(x: jax.Array, axis: int, block: int) -> jax.Array:
    """Splits an axis into (n, block). One axis at a time, as explicit shardings require."""
    return x.reshape(*x.shape[:axis], x.shape[axis] // block, block, *x.shape[axis + 1 :])


def _joined(x: jax.Array, axis: int) -> jax.Array:
    """Merges an axis with the next one."""
    size = x.shape[axis] * x.shape[axis + 1]
    return x.reshape(*x.shape[:axis], size, *x.shape[axis + 2 :])


def padded(x: jax.Array, axis: int, block: int, value: float = 0) -> jax.Array:
    """Pads an axis with a value to whole blocks."""
    missing = -x.shape[axis] % block
    if missing == 0:
        return x
    widths = [(0, missing if own == axis else 0) for own in range(x.ndim)]
    return jnp.pad(x, widths, constant_values=value)


def over_rows(body: Callable[..., Any], n: int, *blocks: Any) -> Any:
    """The stacked results of body(i, block i of each array) for n blocks of queries."""
    if n == 1:
        results = body(jnp.int32(0), *jax.tree.map(lambda x: x[0], blocks))
        return jax.tree.map(lambda x: x[None], results)
    step = lambda _, xs: (None, body(*xs))  # noqa: E731
    return lax.scan(step, None, (jnp.arange(n, dtype=jnp.int32), *blocks))[1]


def over_keys(
    plan: Plan,
    given: Given,
    tile: Tile,
    i: jax.Array,
    body: Callable[..., Any],
    carry: Any,
    n: int,
    *blocks: Any,
) -> Any:
    """Folds body(carry, j, block j of each array) over the blocks of keys that rows i may see."""
    skips = plan.causal or plan.window is not None

    def step(carry: Any, xs: Any) -> tuple[Any, None]:
        if not skips:
            return body(carry, *xs), None
        seen = is_seen(plan, given, tile, i, xs[0])
        return lax.cond(seen, lambda c, xs: body(c, *xs), lambda c, _: c, carry, xs), None

    if n == 1:
        first = jax.tree.map(lambda x: x[0], blocks)
        return step(carry, (jnp.int32(0), *first))[0]
    return lax.scan(step, carry, (jnp.arange(n, dtype=jnp.int32), *blocks))[0]


def varying_like(carry: tuple[jax.Array, ...], *others: Any) -> tuple[jax.Array, ...]:
    """The carry of a loop, marked as varying over the manual axes over which the others vary."""
    leaves = jax.tree.leaves(others)
    return tuple(varying.unify([x, *leaves])[0] for x in carry)
