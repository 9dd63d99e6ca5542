"""The passes of attention as Pallas kernels for Mosaic GPU; imported only when they are used.

The forward pass and the gradient of queries have one program for each 64 queries, which goes over
the tiles of keys; the gradients of keys and values have one for each 64 keys, which goes over the
queries.
Each tile of weights is computed, and its mask drawn, once in each of the three.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu

from flaxnoise.backends.mosaic_gpu.attention_program import (
    LOW,
    ROW_LAYOUT,
    Program,
    across,
    launch,
    over_tiles,
    tiles_in_memory,
)
from flaxnoise.backends.mosaic_gpu.attention_tiles import ROWS, Shape

plgpu: Any = mosaic_gpu  # jax 0.10 lacks some of its names

Noise = tuple[jax.Array, jax.Array, jax.Array, jax.Array]
FORWARD_KEYS, BACKWARD_KEYS = 128, 64


def forward(shape: Shape, noise: Noise, arrays: Any, interpret: Any = None) -> Any:
    """(y [B, T, N, D], largest scores, sums [B, N, T]); scores are in units of ln 2.

    Args:
        shape: the sizes of the call.
        noise: words of the key [4], threshold [1], 1/P(keep) [1], starts of blocks of queries.
        arrays: q [B, T, N, D]; k, v [B, S, K, D] in tiles.
        interpret: parameters of the interpreter, or None.
    """
    columns, size, dtype = FORWARD_KEYS, shape.size, arrays[0].dtype

    def flaxnoise_attention(*refs: Any) -> None:
        key, threshold, scale, starts, q, k, v, y, top, total, *scratch = refs
        q_tile, k_tiles, v_tiles, w_tile, q_ready, k_ready, v_ready = scratch
        program = Program(shape, columns, interpret, key, (threshold, scale), starts)
        i, n, b = (lax.axis_index(name) for name in ("block", "head", "example"))
        rows = pl.ds(i * jnp.int32(ROWS), ROWS)
        kv_head = lax.div(n, jnp.int32(shape.heads // shape.kv_heads))
        plgpu.copy_gmem_to_smem(q.at[b, rows, n], q_tile, q_ready)

        def fetch(j: jax.Array, slot: jax.Array) -> None:
            own = b, pl.ds(j * jnp.int32(columns), columns), kv_head
            plgpu.copy_gmem_to_smem(k.at[own], k_tiles.at[slot], k_ready.at[slot])
            plgpu.copy_gmem_to_smem(v.at[own], v_tiles.at[slot], v_ready.at[slot])

        def tile(j: jax.Array, slot: jax.Array, carry: Any) -> Any:
            acc, largest, summed = carry
            plgpu.barrier_wait(k_ready.at[slot])
            s = program.scores(q_tile, k_tiles.at[slot], i, j)
            new = jnp.maximum(largest, s.max(axis=1))
            p = jnp.exp2(s - across(new, columns))
            shrink = jnp.exp2(largest - new)
            summed = summed * shrink + p.sum(axis=1)
            w = program.dropped(p, program.block(b, n, i), j).astype(dtype)
            plgpu.barrier_wait(v_ready.at[slot])
            w = program.left(w, *w_tile)
            part = program.product(w, v_tiles.at[slot], (ROWS, size))
            return acc * across(shrink, size) + part, new, summed

        plgpu.barrier_wait(q_ready)
        start = program.full((ROWS, size), 0), program.full((ROWS,), LOW), program.full((ROWS,), 0)
        tiles = program.seen_tiles(i)
        acc, largest, summed = over_tiles(jnp.int32(0), tiles, fetch, tile, start)
        acc = acc * across(scale[0] / summed, size)
        plgpu.store(y.at[b, rows, n], acc.astype(dtype), optimized=False)
        plgpu.store(top.at[b, n, rows], largest, optimized=False)
        plgpu.store(total.at[b, n, rows], summed, optimized=False)

    of_rows = jax.ShapeDtypeStruct((shape.batch, shape.heads, shape.queries), jnp.float32)
    results = [jax.ShapeDtypeStruct(arrays[0].shape, dtype), of_rows, of_rows]
    scratch = (
        tiles_in_memory(dtype, ROWS, size),
        *[tiles_in_memory(dtype, 2, columns, size)] * 2,
        [tiles_in_memory(dtype, ROWS, columns)] if interpret is not None else [],
        plgpu.Barrier(),
        *[plgpu.Barrier(num_barriers=2)] * 2,
    )
    blocks = shape.queries // ROWS
    return launch(
        flaxnoise_attention, shape, results, scratch, (*noise, *arrays), blocks, interpret
    )


def query_gradient(shape: Shape, noise: Noise, arrays: Any, interpret: Any = None) -> jax.Array:
    """dq, float32[B, T, N, D].

    Args:
        shape: the sizes of the call.
        noise: as in ``forward``.
        arrays: q, k and v as in ``forward``; dy [B, T, N, D]; lse·log₂e and Σ dy·y − drest
            [B, N, T].
        interpret: parameters of the interpreter, or None.
    """
    columns, size, dtype = BACKWARD_KEYS, shape.size, arrays[0].dtype

    def flaxnoise_attention_dq(*refs: Any) -> None:
        key, threshold, scale, starts, q, k, v, dy, lse, delta, dq, *scratch = refs
        q_tile, dy_tile, k_tiles, v_tiles, w_tile, q_ready, dy_ready, k_ready, v_ready = scratch
        program = Program(shape, columns, interpret, key, (threshold, scale), starts)
        i, n, b = (lax.axis_index(name) for name in ("block", "head", "example"))
        rows = pl.ds(i * jnp.int32(ROWS), ROWS)
        kv_head = lax.div(n, jnp.int32(shape.heads // shape.kv_heads))
        plgpu.copy_gmem_to_smem(q.at[b, rows, n], q_tile, q_ready)
        plgpu.copy_gmem_to_smem(dy.at[b, rows, n], dy_tile, dy_ready)
        own_lse, own_delta = (
            plgpu.load(x.at[b, n, rows], layout=ROW_LAYOUT, optimized=False) for x in (lse, delta)
        )

        def fetch(j: jax.Array, slot: jax.Array) -> None:
            own = b, pl.ds(j * jnp.int32(columns), columns), kv_head
            plgpu.copy_gmem_to_smem(k.at[own], k_tiles.at[slot], k_ready.at[slot])
            plgpu.copy_gmem_to_smem(v.at[own], v_tiles.at[slot], v_ready.at[slot])

        def tile(j: jax.Array, slot: jax.Array, acc: jax.Array) -> jax.Array:
            plgpu.barrier_wait(k_ready.at[slot])
            s = program.scores(q_tile, k_tiles.at[slot], i, j)
            p = jnp.exp2(s - across(own_lse, columns))
            plgpu.barrier_wait(v_ready.at[slot])
            dp = program.product(dy_tile, v_tiles.at[slot].transpose((1, 0)), (ROWS, columns))
            dp = program.dropped(dp, program.block(b, n, i), j) * scale[0]
            ds = program.left((p * (dp - across(own_delta, columns))).astype(dtype), *w_tile)
            return acc + program.product(ds, k_tiles.at[slot], (ROWS, size))

        plgpu.barrier_wait(q_ready)
        plgpu.barrier_wait(dy_ready)
        none = program.full((ROWS, size), 0)
        acc = over_tiles(jnp.int32(0), program.seen_tiles(i), fetch, tile, none)
        plgpu.store(dq.at[b, rows, n], acc * jnp.float32(shape.scale), optimized=False)

    scratch = (
        *[tiles_in_memory(dtype, ROWS, size)] * 2,
        *[tiles_in_memory(dtype, 2, columns, size)] * 2,
        [tiles_in_memory(dtype, ROWS, columns)] if interpret is not None else [],
        *[plgpu.Barrier()] * 2,
        *[plgpu.Barrier(num_barriers=2)] * 2,
    )
    result = jax.ShapeDtypeStruct(arrays[0].shape, jnp.float32)
    blocks = shape.queries // ROWS
    return launch(
        flaxnoise_attention_dq, shape, result, scratch, (*noise, *arrays), blocks, interpret
    )


def key_gradients(shape: Shape, noise: Noise, arrays: Any, interpret: Any = None) -> Any:
    """(dk, dv) for each head of queries, float32[B, S, N, D], in tiles; arguments as above."""
    columns, size, dtype = BACKWARD_KEYS, shape.size, arrays[0].dtype

    def flaxnoise_attention_dkv(*refs: Any) -> None:
        key, threshold, scale, starts, q, k, v, dy, lse, delta, dk, dv, *scratch = refs
        k_tile, v_tile, q_tiles, dy_tiles, w_tile, ds_tile, *ready = scratch
        k_ready, v_ready, q_ready, dy_ready = ready
        program = Program(shape, columns, interpret, key, (threshold, scale), starts)
        j, n, b = (lax.axis_index(name) for name in ("block", "head", "example"))
        own = pl.ds(j * jnp.int32(columns), columns)
        kv_head = lax.div(n, jnp.int32(shape.heads // shape.kv_heads))
        plgpu.copy_gmem_to_smem(k.at[b, own, kv_head], k_tile, k_ready)
        plgpu.copy_gmem_to_smem(v.at[b, own, kv_head], v_tile, v_ready)

        def fetch(i: jax.Array, slot: jax.Array) -> None:
            rows = b, pl.ds(i * jnp.int32(ROWS), ROWS), n
            plgpu.copy_gmem_to_smem(q.at[rows], q_tiles.at[slot], q_ready.at[slot])
            plgpu.copy_gmem_to_smem(dy.at[rows], dy_tiles.at[slot], dy_ready.at[slot])

        def tile(i: jax.Array, slot: jax.Array, carry: Any) -> Any:
            dk, dv = carry
            rows = pl.ds(i * jnp.int32(ROWS), ROWS)
            own_lse, own_delta = (
                plgpu.load(x.at[b, n, rows], layout=ROW_LAYOUT, optimized=False)
                for x in (lse, delta)
            )
            plgpu.barrier_wait(q_ready.at[slot])
            s = program.scores(q_tiles.at[slot], k_tile, i, j)
            p = jnp.exp2(s - across(own_lse, columns))
            w = program.dropped(p, program.block(b, n, i), j)
            plgpu.barrier_wait(dy_ready.at[slot])
            dp = program.product(dy_tiles.at[slot], v_tile.transpose((1, 0)), (ROWS, columns))
            ds = w * dp * scale[0] - p * across(own_delta, columns)
            w = program.shared(w.astype(dtype), w_tile).transpose((1, 0))
            dv = dv + program.product(w, dy_tiles.at[slot], (columns, size))
            ds = program.shared(ds.astype(dtype), ds_tile).transpose((1, 0))
            return dk + program.product(ds, q_tiles.at[slot], (columns, size)), dv

        plgpu.barrier_wait(k_ready)
        plgpu.barrier_wait(v_ready)
        none = program.full((columns, size), 0)
        # With causality a block of queries sees the tile of the same number, and earlier ones.
        end = jnp.int32(shape.queries // ROWS)
        begin = jnp.minimum(j, end - jnp.int32(1)) if shape.causal else jnp.int32(0)
        own_dk, own_dv = over_tiles(begin, end, fetch, tile, (none, none))
        plgpu.store(dk.at[b, own, n], own_dk * jnp.float32(shape.scale), optimized=False)
        plgpu.store(dv.at[b, own, n], own_dv * scale[0], optimized=False)

    scratch = (
        *[tiles_in_memory(dtype, columns, size)] * 2,
        *[tiles_in_memory(dtype, 2, ROWS, size)] * 2,
        *[tiles_in_memory(dtype, ROWS, columns)] * 2,
        *[plgpu.Barrier()] * 2,
        *[plgpu.Barrier(num_barriers=2)] * 2,
    )
    of_keys = (shape.batch, shape.keys, shape.heads, size)
    results = [jax.ShapeDtypeStruct(of_keys, jnp.float32)] * 2
    blocks = shape.keys // columns
    return launch(
        flaxnoise_attention_dkv, shape, results, scratch, (*noise, *arrays), blocks, interpret
    )
