"""The backward kernel: all three gradients from one pass over the tiles, so one draw of the mask.

Tiles are transposed, keys by queries: numbers per query then are rows, and two of the three sums
over the weights need no transpose. The gradient of the queries of a head stays in VMEM until all
tiles of keys have been added. Long sequences of queries are therefore cut into parts.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from flaxnoise.backends.mosaic_tpu.attention.layout import Layout, table
from flaxnoise.backends.mosaic_tpu.attention.operands import Operands, by_head, parallel, result
from flaxnoise.backends.mosaic_tpu.attention.tile import HIGH, LOW, Tile, dot, finished
from flaxnoise.backends.mosaic_tpu.grid import LANES, SUBLANES, ceil_divide

ROWS = 128
RESIDENT_BYTES = 1 << 21  # of the gradient of queries in VMEM, which is double-buffered


def backward(
    plan: Any, arrays: Any, given: Any, results: Any, cotangents: Any, *, interpret: Any
) -> Any:
    """As Kernel.backward."""
    (q, k, v, bias), (y, top, rest), (dy, drest) = arrays, results, cotangents
    delta = (y.astype(jnp.float32) * dy.astype(jnp.float32)).sum(-1) - drest
    stats = jnp.stack([top, rest, delta], axis=2)  # [B, T, 3, N]
    size = 4 * ceil_divide(q.shape[3], LANES) * LANES
    most = max(RESIDENT_BYTES // size // ROWS, 1) * ROWS
    run = functools.partial(_part, plan, k, v, given, interpret)
    if q.shape[1] <= most:
        dq, dk, dv = run(0, q, dy, stats, bias, given.mask, given.query_ids)
    else:
        dq, dk, dv = _in_parts(run, most, q, dy, stats, bias, given.mask, given.query_ids)
    return dq.astype(q.dtype), dk.astype(k.dtype), dv.astype(v.dtype)


def _in_parts(run: Any, size: int, *arrays: Any) -> Any:
    """Runs parts of ``size`` queries, and sums the gradients of keys and values."""
    length = arrays[0].shape[1]
    parts = ceil_divide(length, size)

    def cut(x: Any, axis: int, value: float = 0) -> Any:
        if x is None or x.shape[axis] == 1:
            return None
        widths = [(0, parts * size - length if own == axis else 0) for own in range(x.ndim)]
        x = jnp.pad(x, widths, constant_values=value)
        x = x.reshape(*x.shape[:axis], parts, size, *x.shape[axis + 1 :])
        return jnp.moveaxis(x, axis, 0)

    q, dy, stats, *others, ids = arrays
    padded = jnp.stack([cut(stats[:, :, n], 1, HIGH * (n == 1)) for n in range(3)], axis=3)
    blocks = (cut(q, 1), cut(dy, 1), padded, *(cut(x, 2) for x in others), cut(ids, 1))

    def step(sums: Any, xs: Any) -> Any:
        part, *own = xs
        own = [x if cut_x is None else cut_x for x, cut_x in zip(arrays, own, strict=True)]
        dq, dk, dv = run(part * size, *own)
        return (sums[0] + dk, sums[1] + dv), dq

    first = jax.tree.map(lambda x: x[0], blocks)
    own = [x if cut_x is None else cut_x for x, cut_x in zip(arrays, first, strict=True)]
    _, dk, dv = jax.eval_shape(functools.partial(run, 0), *own)
    zeros = jnp.zeros(dk.shape, dk.dtype), jnp.zeros(dv.shape, dv.dtype)
    (dk, dv), dq = lax.scan(step, zeros, (jnp.arange(parts, dtype=jnp.int32), *blocks))
    dq = jnp.moveaxis(dq, 0, 1)
    return dq.reshape(dq.shape[0], -1, *dq.shape[3:])[:, :length], dk, dv


def _part(
    plan: Any,
    k: jax.Array,
    v: jax.Array,
    given: Any,
    interpret: Any,
    first_row: Any,
    q: jax.Array,
    dy: jax.Array,
    stats: jax.Array,
    bias: Any,
    mask: Any,
    query_ids: Any,
) -> Any:
    """float32 gradients of q, k and v, for the queries from ``first_row`` on."""
    batch, length, heads, width = q.shape
    kv_heads, size = k.shape[2], v.shape[3]
    given = given._replace(mask=mask, query_ids=query_ids)
    arrays = (q, k, v, bias)
    layout = Layout.of(plan, arrays, given, ROWS)
    operands = Operands(layout, lambda j, i: i, lambda j, i: j, along=0)
    scalars = table(plan, given, (batch, heads), first_row)
    operands.add_all(scalars, given.keep_scale, arrays, given)
    rows, columns = layout.rows, layout.columns
    padded = layout.blocks[0] * rows
    operands.add("dy", by_head(layout.by_rows(dy, 1)), (rows, size), lambda j, i: (i, 0))
    own = [layout.by_rows(stats[:, :, n], 1, HIGH * (n == 1)) for n in range(3)]
    stats = jnp.stack([x.swapaxes(1, 2) for x in own], axis=2)  # [B, N, 3, T]
    operands.add("stats", stats, (3, rows), lambda j, i: (0, i))
    grid = (batch, heads, *layout.blocks[::-1])

    def of_keys(width: int) -> pl.BlockSpec:
        return pl.BlockSpec((None, None, columns, width), lambda b, n, j, i: (b, n, j, 0))

    sizes = (padded, width), (layout.blocks[1] * columns, width), (layout.blocks[1] * columns, size)
    dq, dk, dv = pl.pallas_call(
        functools.partial(_kernel, layout, operands),
        grid=grid,
        in_specs=operands.specs,
        out_specs=[
            pl.BlockSpec((None, None, padded, width), lambda b, n, j, i: (b, n, 0, 0)),
            of_keys(width),
            of_keys(size),
        ],
        out_shape=[result(q, (batch, heads, *own), jnp.float32) for own in sizes],
        scratch_shapes=[pltpu.VMEM((columns, rows), jnp.float32)] * 2,
        compiler_params=parallel(grid, last=2),
        interpret=interpret,
        name="flaxnoise_attention_backward",
    )(*operands.arrays.values())
    dk, dv = (_summed(layout.from_keys(own, 2), kv_heads) for own in (dk, dv))
    scale = jnp.float32(plan.scale)
    keep_scale = 1 if given.keep_scale is None else given.keep_scale.astype(jnp.float32)
    return by_head(dq)[:, :length] * scale, by_head(dk) * scale, by_head(dv) * keep_scale


def _summed(x: jax.Array, kv_heads: int) -> jax.Array:
    """[B, N, S, D] → [B, K, S, D], summed over the heads of queries that share keys."""
    groups = x.shape[1] // kv_heads
    return x if groups == 1 else x.reshape(x.shape[0], kv_heads, groups, *x.shape[2:]).sum(2)


def _kernel(layout: Layout, operands: Operands, *refs: Any) -> None:
    names = list(operands.arrays)
    given = dict(zip(names, refs, strict=False))
    dq_ref, dk_ref, dv_ref, s_ref, dp_ref = refs[len(names) :]
    j, i = pl.program_id(2), pl.program_id(3)
    tile = Tile.at(layout, given["table"], i, j, along=0)
    rows = pl.ds(pl.multiple_of(i * layout.rows, layout.rows), layout.rows)

    @pl.when(i == 0)
    def _start() -> None:
        dk_ref[...] = jnp.zeros_like(dk_ref)
        dv_ref[...] = jnp.zeros_like(dv_ref)

    @pl.when(j == 0)
    def _start_rows() -> None:
        dq_ref[rows, :] = jnp.zeros((layout.rows, dq_ref.shape[1]), jnp.float32)

    @pl.when(tile.is_seen())
    def _add() -> None:
        q, k, dy = given["q"][...], given["k"][...], given["dy"][...]
        s_ref[...] = dot(k, q, 1, 1)
        dp_ref[...] = dot(given["v"][...], dy, 1, 1)
        for column in range(layout.rows // LANES):

            def step(at: jax.Array, _: None, column: int = column) -> None:
                block = pl.multiple_of(at * SUBLANES, SUBLANES)
                _step(tile, operands, given, block, column, s_ref, dp_ref)

            lax.fori_loop(0, LANES // SUBLANES, step, None)
        w, ds = s_ref[...].astype(dy.dtype), dp_ref[...]
        dv_ref[...] += dot(w, dy, 1, 0)
        dk_ref[...] += dot(ds.astype(q.dtype), q, 1, 0)
        dq_ref[rows, :] += dot(ds.T.astype(k.dtype), k, 1, 0)


def _step(
    tile: Tile, operands: Operands, given: Any, block: Any, column: int, s_ref: Any, dp_ref: Any
) -> None:
    """Replaces scores by dropped weights, and the gradients of the weights by those of scores.

    Acts on 128 queries, and on SUBLANES keys of each piece of the tile, from ``block`` on.
    """
    layout, plan = tile.layout, tile.layout.plan
    lanes = pl.ds(column * LANES, LANES)
    top, rest, delta = (given["stats"][n : n + 1, lanes] for n in range(3))
    keep = tile.kept(column * LANES, block) if plan.drops else None
    for piece in range(layout.pieces):
        row = piece * LANES + block
        at = (pl.ds(row, SUBLANES), lanes)
        rules = tile.visible(column * LANES, piece, block)
        s = finished(plan, s_ref[at], rules, operands.parts(given, row, column))
        p, dp = jnp.exp(s - top - rest), dp_ref[at]
        w = p
        if keep is not None:
            dp = jnp.where(keep[piece], dp * given["keep_scale"][0, 0], 0.0)
            w = jnp.where(keep[piece], p, 0.0)
        ds = p * (dp - delta)
        if plan.soft_cap is not None:
            ratio = jnp.where(s > LOW / 2, s, 0.0) * jnp.float32(1 / plan.soft_cap)
            ds = ds * (1 - ratio * ratio)
        s_ref[at], dp_ref[at] = w, ds
