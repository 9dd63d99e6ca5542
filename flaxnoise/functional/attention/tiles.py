"""One tile of attention: scores, visibility, dropout mask, and products.

Shapes of a tile: B examples, K heads of keys, G heads of queries per head of keys, r queries and
c keys. Queries are [B, K, G, r, D], keys and values [B, K, D, c], weights [B, K, G, r, c]. Keys and
values have the axis of keys last, because their gradients are products of queries with weights: in
any other layout XLA on CPU transposes the weights.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from flaxnoise.affine import affine
from flaxnoise.functional.attention.plan import LOW, Given, Plan, Tile
from flaxnoise.functional.attention.products import product


def scores(
    plan: Plan, q: jax.Array, k: jax.Array, bias: jax.Array | None, visible: jax.Array | None
) -> jax.Array:
    """cap(scale·q·k + bias), and LOW where a query does not see a key, in ``precision``.

    q and its tangents come from ``scaled``.
    """
    dtype = precision(q.dtype)
    s = times(q, k, dtype)
    if (factor := _scales(plan, q.dtype)[1]) != 1:
        s = s * jnp.asarray(factor, dtype)
    if bias is not None:
        s = s + bias.astype(dtype)
    if plan.soft_cap is not None:
        hidden = s <= LOW / 2 if bias is not None else None  # the cap would make it visible
        s = plan.soft_cap * jnp.tanh(s / plan.soft_cap)
        s = s if hidden is None else jnp.where(hidden, jnp.asarray(LOW, dtype), s)
    return s if visible is None else jnp.where(visible, s, jnp.asarray(LOW, dtype))


def scaled(plan: Plan, q: jax.Array, dtype: jax.typing.DTypeLike) -> jax.Array:
    """The queries, or tangents of them, that ``scores`` expects for queries of this dtype."""
    factor = _scales(plan, dtype)[0]
    return q if factor == 1 else q * jnp.asarray(factor, q.dtype)


def _scales(plan: Plan, dtype: jax.typing.DTypeLike) -> tuple[float, float]:
    """Factors of the queries and of the scores, whose product is scale.

    A factor of the queries saves a pass over the scores. In a 16-bit dtype it would round them
    unless it is a power of two.
    """
    size = abs(plan.scale)
    wide = jnp.dtype(dtype).itemsize > 2
    exact = wide or (dtype == jnp.bfloat16 and math.frexp(size)[0] == 0.5)
    return (plan.scale, 1.0) if exact and 2.0**-20 < size < 2.0**20 else (1.0, plan.scale)


def scores_tangent(
    plan: Plan,
    s: jax.Array,
    primals: tuple[jax.Array, jax.Array],
    tangents: tuple[jax.Array | None, jax.Array | None, jax.Array | None],
) -> jax.Array | None:
    """ds for (dq, dk, dbias), each None for zero. Not masked: p = 0 where the score is LOW.

    The products are computed in the dtype of q and k. Their transposes then are products of that
    dtype too, and do not convert the operands to float32 first.
    """
    q, k = primals
    dq, dk, dbias = tangents
    terms = [times(dq.astype(k.dtype), k, k.dtype)] if dq is not None else []
    terms += [times(q, dk.astype(q.dtype), q.dtype)] if dk is not None else []
    ds = [term.astype(s.dtype) for term in terms]
    if (factor := _scales(plan, q.dtype)[1]) != 1:
        ds = [term * jnp.asarray(factor, s.dtype) for term in ds]
    ds += [dbias.astype(s.dtype)] if dbias is not None else []
    if not ds:
        return None
    total = functools.reduce(jnp.add, ds)
    if plan.soft_cap is not None:
        ratio = jnp.where(s > LOW / 2, s, 0) / plan.soft_cap
        total = total * (1 - ratio * ratio)
    return total


def kept(
    plan: Plan, given: Given, start: jax.Array, j: jax.Array | int, tile: Tile
) -> jax.Array | None:
    """The dropout mask of a tile, bool[B, K, G, r, c], or [1, 1, 1, r, c] if shared; None without.

    ``start`` is uint32[B, K, G, 2], the linear index of each head's first weight in these rows.
    """
    if not plan.drops or given.words is None or given.threshold is None:
        return None
    batch, heads, queries, keys = plan.global_shape
    return affine(
        {
            "key": given.words.reshape(1, 1, 1, -1),
            "start": plus(start, jnp.asarray(j).astype(jnp.uint32) * jnp.uint32(tile.columns)),
            "threshold": given.threshold.reshape(1, 1, 1, 1, 1),
        },
        kind="keep",
        shape=tuple(tile),
        global_shape=(queries if plan.shared else batch * heads * queries, keys),
        dtype=jnp.bool_,
        backend=plan.backend,
    )


def starts(plan: Plan, given: Given, shape: tuple[Any, ...], tile: Tile, n: int) -> jax.Array:
    """Linear index of each head's first weight in each of n blocks of rows: uint32[n, B, K, G, 2].

    Args:
        plan: plan of the call.
        given: arrays of the call; their origin is added.
        shape: (B, K, G).
        tile: sizes of a tile.
        n: number of blocks of rows.
    """
    _, heads, queries, keys = plan.global_shape
    with jax.enable_x64(True):
        shape = (1, 1, 1) if plan.shared else shape
        block, b, k, g = (lax.broadcasted_iota(jnp.uint64, (n, *shape), axis) for axis in range(4))
        head = k * jnp.uint64(shape[2]) + g
        row, column = block * jnp.uint64(tile.rows), jnp.uint64(0)
        if given.origin is not None:
            first = [given.origin[axis].astype(jnp.uint64) for axis in range(4)]
            row, column = row + first[2], first[3]
            if not plan.shared:
                b, head = b + first[0], head + first[1]
        row = row + (b * jnp.uint64(heads) + head) * jnp.uint64(queries)
        index = row * jnp.uint64(keys) + column
        words = index.astype(jnp.uint32), (index >> jnp.uint64(32)).astype(jnp.uint32)
        return jnp.stack(words, axis=-1)


def plus(words: jax.Array, number: jax.Array) -> jax.Array:
    """Adds a 32-bit integer to 64-bit integers in (low, high) words."""
    low = words[..., 0] + number
    high = words[..., 1] + (low < number).astype(jnp.uint32)
    return jnp.stack([low, high], axis=-1)


def visible(
    plan: Plan, given: Given, tile: Tile, i: jax.Array, j: jax.Array, keys: int
) -> jax.Array | None:
    """Which keys each query sees, as bools that broadcast to a tile's weights; None for all.

    Args:
        plan: plan of the call.
        given: arrays of the call, mask and ids padded to whole tiles.
        tile: sizes of a tile.
        i: index of the block of queries.
        j: index of the block of keys.
        keys: number of keys without padding.
    """
    t = i * tile.rows + lax.broadcasted_iota(jnp.int32, (1, 1, 1, tile.rows, 1), 3)
    s = j * tile.columns + lax.broadcasted_iota(jnp.int32, (1, 1, 1, 1, tile.columns), 4)
    rules = [s < keys] if keys % tile.columns else []
    global_t, global_s = _global(given, t, s)
    if plan.causal:
        rules.append(global_s <= global_t)
    if plan.window is not None:
        before, after = plan.window
        rules += [global_s >= global_t - before, global_s <= global_t + after]
    if (mask := part(given.mask, tile, i, j)) is not None:
        rules.append(mask)
    if given.query_ids is not None and given.key_ids is not None:
        mine = lax.dynamic_slice_in_dim(given.query_ids, i * tile.rows, tile.rows, 1)
        theirs = lax.dynamic_slice_in_dim(given.key_ids, j * tile.columns, tile.columns, 1)
        rules.append((mine[:, :, None] == theirs[:, None, :])[:, None, None])
    if given.query_ends is not None:
        rules.append(global_t < given.query_ends.reshape(-1, 1, 1, 1, 1))
    if given.key_ends is not None:
        rules.append(global_s < given.key_ends.reshape(-1, 1, 1, 1, 1))
    return functools.reduce(jnp.logical_and, rules) if rules else None


def is_seen(plan: Plan, given: Given, tile: Tile, i: jax.Array, j: jax.Array) -> jax.Array:
    """Whether, by causality and window, any query in block i may see any key in block j."""
    top, left = _global(given, i * tile.rows, j * tile.columns)
    bottom, right = top + (tile.rows - 1), left + (tile.columns - 1)
    seen = jnp.bool_(True)
    if plan.causal:
        seen &= left <= bottom
    if plan.window is not None:
        before, after = plan.window
        seen &= (right >= top - before) & (left <= bottom + after)
    return seen


def times(x: jax.Array, y: jax.Array, dtype: jax.typing.DTypeLike) -> jax.Array:
    """[B, K, G, r, i], [B, K, i, j] → [B, K, G, r, j]."""
    return product("x·y", _matrices(x), y, dtype).reshape(*x.shape[:-1], y.shape[-1])


def weighted(w: jax.Array, v: jax.Array, dtype: jax.typing.DTypeLike) -> jax.Array:
    """[B, K, G, r, c], [B, K, D, c] → [B, K, G, r, D]."""
    y = product("x·yᵀ", _matrices(w.astype(v.dtype)), v, dtype)
    return y.reshape(*w.shape[:-1], v.shape[-2])


def weighted_tangent(w: jax.Array, v: jax.Array) -> jax.Array:
    """``weighted`` where w or v is a tangent, in v's dtype, so that its transpose is too."""
    return weighted(w, v, v.dtype).astype(precision(v.dtype))


def _matrices(x: jax.Array) -> jax.Array:
    """[B, K, G, r, …] → [B, K, G·r, …]: the rows of all heads that share keys."""
    return x.reshape(*x.shape[:2], x.shape[2] * x.shape[3], x.shape[4])


def precision(dtype: jax.typing.DTypeLike) -> jnp.dtype:
    """The dtype of scores and sums: float32, or float64 for float64."""
    return jnp.promote_types(dtype, jnp.float32)


def _global(given: Given, t: Any, s: Any) -> tuple[Any, Any]:
    """Converts local positions of queries and keys to positions in the global sequences."""
    if given.origin is None:
        return t, s
    return t + given.origin[2].astype(jnp.int32), s + given.origin[3].astype(jnp.int32)


def part(x: jax.Array | None, tile: Tile, i: jax.Array, j: jax.Array) -> jax.Array | None:
    """Tile (i, j) of an array [B|1, K|1, G|1, T|1, S|1] that is padded to whole tiles."""
    if x is None:
        return None
    if x.shape[3] != 1:
        x = lax.dynamic_slice_in_dim(x, i * tile.rows, tile.rows, 3)
    if x.shape[4] != 1:
        x = lax.dynamic_slice_in_dim(x, j * tile.columns, tile.columns, 4)
    return x
