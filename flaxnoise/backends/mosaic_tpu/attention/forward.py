"""The forward kernel: the online softmax of FlashAttention-2, with the mask drawn in registers."""

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
from flaxnoise.backends.mosaic_tpu.grid import LANES, SUBLANES

ROWS = 256


def forward(plan: Any, arrays: Any, given: Any, *, interpret: Any) -> Any:
    """As Kernel.forward."""
    q, v = arrays[0], arrays[2]
    batch, length, heads, _ = q.shape
    layout = Layout.of(plan, arrays, given, ROWS)
    operands = Operands(layout, lambda i, j: i, lambda i, j: j, along=1)
    operands.add_all(table(plan, given, (batch, heads)), given.keep_scale, arrays, given)
    grid = (batch, heads, *layout.blocks)
    rows, columns, size = layout.rows, layout.columns, v.shape[3]
    padded = layout.blocks[0] * rows
    row = pl.BlockSpec((None, None, 1, rows), lambda b, n, i, j: (b, n, 0, i))
    y, top, rest = pl.pallas_call(
        functools.partial(_kernel, layout, operands),
        grid=grid,
        in_specs=operands.specs,
        out_specs=[
            pl.BlockSpec((None, None, rows, size), lambda b, n, i, j: (b, n, i, 0)),
            row,
            row,
        ],
        out_shape=[
            result(q, (batch, heads, padded, size), q.dtype),
            *[result(q, (batch, heads, 1, padded), jnp.float32)] * 2,
        ],
        scratch_shapes=[
            pltpu.VMEM((rows, columns), jnp.float32),
            pltpu.VMEM((rows, columns), jnp.float32),
            pltpu.VMEM((rows, size), jnp.float32),
            pltpu.VMEM((rows, LANES), jnp.float32),
            pltpu.VMEM((rows, LANES), jnp.float32),
        ],
        compiler_params=parallel(grid, last=1),
        interpret=interpret,
        name="flaxnoise_attention",
    )(*operands.arrays.values())
    y = by_head(y)[:, :length]
    return y, *(own[:, :, 0, :length].swapaxes(1, 2) for own in (top, rest))


def _kernel(layout: Layout, operands: Operands, *refs: Any) -> None:
    names = list(operands.arrays)
    given = dict(zip(names, refs, strict=False))
    y_ref, top_ref, rest_ref, s_ref, w_ref, sum_ref, m_ref, l_ref = refs[len(names) :]
    j = pl.program_id(3)
    tile = Tile.at(layout, given["table"], pl.program_id(2), j, along=1)

    @pl.when(j == 0)
    def _start() -> None:
        sum_ref[...] = jnp.zeros_like(sum_ref)
        m_ref[...] = jnp.full_like(m_ref, LOW)
        l_ref[...] = jnp.zeros_like(l_ref)

    @pl.when(tile.is_seen())
    def _add() -> None:
        s_ref[...] = dot(given["q"][...], given["k"][...], 1, 1)

        def step(at: jax.Array, _: None) -> None:
            row = pl.multiple_of(at * SUBLANES, SUBLANES)
            _step(tile, operands, given, row, s_ref, w_ref, sum_ref, m_ref, l_ref)

        lax.fori_loop(0, layout.rows // SUBLANES, step, None)
        v = given["v"][...]
        sum_ref[...] += dot(w_ref[...].astype(v.dtype), v, 1, 0)

    @pl.when(j == pl.num_programs(3) - 1)
    def _end() -> None:
        m, total = m_ref[...], l_ref[...]
        blind = m <= LOW / 2
        total = jnp.where(blind, 1.0, total)
        y = sum_ref[...] * (given["keep_scale"][0, 0] / total[:, :1])
        y_ref[...] = jnp.where(blind[:, :1], 0.0, y).astype(y_ref.dtype)
        top_ref[...] = jnp.where(blind, 0.0, m).T[:1]
        rest_ref[...] = jnp.where(blind, HIGH, jnp.log(total)).T[:1]


def _step(
    tile: Tile,
    operands: Operands,
    given: Any,
    row: Any,
    s_ref: Any,
    w_ref: Any,
    sum_ref: Any,
    m_ref: Any,
    l_ref: Any,
) -> None:
    """The softmax and the mask of SUBLANES queries."""
    layout, rows = tile.layout, pl.ds(row, SUBLANES)
    pieces = [(rows, pl.ds(piece * LANES, LANES)) for piece in range(layout.pieces)]
    most = jnp.full((SUBLANES, LANES), LOW, jnp.float32)
    for piece, at in enumerate(pieces):
        rules = tile.visible(row, piece, 0)
        s = finished(layout.plan, s_ref[at], rules, operands.parts(given, row, piece))
        s_ref[at] = s
        most = jnp.maximum(most, s)
    old = m_ref[rows, :]
    new = jnp.maximum(old, most.max(axis=1, keepdims=True))
    keep = tile.kept(row, 0) if layout.plan.drops else None
    total = jnp.zeros((SUBLANES, LANES), jnp.float32)
    for piece, at in enumerate(pieces):
        p = jnp.exp(s_ref[at] - new)
        total = total + p
        w_ref[at] = p if keep is None else jnp.where(keep[piece], p, 0.0)
    shrink = jnp.exp(old - new)
    l_ref[rows, :] = l_ref[rows, :] * shrink + total.sum(axis=1, keepdims=True)
    m_ref[rows, :] = new
    sum_ref[rows, :] = sum_ref[rows, :] * shrink[:, :1]
