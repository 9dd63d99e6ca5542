"""Attention tile by tile, and its derivative.

    y = (softmax(scale·q·kᵀ + bias)·keep/P(keep))·v      lse = log Σ exp(scale·q·kᵀ + bias)

Forward: the online softmax of Dao, "FlashAttention-2", ICLR 2024, after Milakov and Gimelshein,
"Online normalizer calculation for softmax", 2018. Besides its arguments, the derivative needs only
y and lse. With the scores s of a tile, p = exp(s − lse) and w = p·keep/P(keep), it is

    dy = Σ (w·ds)·v + w·dv − μ·y      μ = Σ p·ds      dlse = μ

lse is held as two numbers, the largest score and the rest, whose derivatives are taken to be 0 and
μ: a single float32 would lose the rest where scores are large, such as those of a query all of
whose keys have a bias of −1e9.

The sums are computed by a second loop over tiles, which is linear in the tangents. Each tile is
under jax.checkpoint, so that the transposed loop draws the mask and computes the weights again, as
the backward pass of FlashAttention-2 does. The same rule gives forward mode, second derivatives and
vmap.

If the forced backend has a kernel for attention, that computes the forward pass and the transposed
sums of q, k and v instead. All other derivatives are those of the loops.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

from flaxnoise.affine import attention as kernels
from flaxnoise.affine import has_attention
from flaxnoise.functional.attention import tiles
from flaxnoise.functional.attention.loops import (
    by_heads,
    from_query_blocks,
    key_blocks,
    over_keys,
    over_rows,
    padded,
    query_blocks,
    varying_like,
    weight_blocks,
)
from flaxnoise.functional.attention.plan import (
    HIGH,
    LOW,
    Given,
    Plan,
    Tile,
    accelerator_tile,
    cpu_tile,
)

Arrays = tuple[jax.Array, jax.Array, jax.Array, jax.Array | None]
Tangents = tuple[jax.Array | None, jax.Array | None, jax.Array | None, jax.Array | None]
Results = tuple[jax.Array, jax.Array, jax.Array]


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def attend(
    plan: Plan, q: jax.Array, k: jax.Array, v: jax.Array, bias: jax.Array | None, given: Given
) -> Results:
    """(y, top, rest) of q [B, T, N, D], k and v [B, S, K, D], bias [B|1, N|1, T|1, S|1].

    top and rest are [B, T, N]; lse is their sum. A query that sees no key has 0 and HIGH.
    """
    if has_attention(plan.backend):
        return kernels.forward(plan, (q, k, v, bias), given, _by_loops)
    return _by_loops(plan, (q, k, v, bias), given)


@functools.partial(attend.defjvp, symbolic_zeros=True)
def _attend_jvp(plan: Plan, primals: Any, tangents: Any) -> Any:
    arrays, given = primals[:4], primals[4]
    moving = tuple(None if isinstance(t, SymbolicZero) else t for t in tangents[:4])
    y, top, rest = attend(plan, *arrays, given)
    none = jnp.zeros_like(top)
    if all(t is None for t in moving):
        return (y, top, rest), (jnp.zeros_like(y), none, none)
    tangent: Any = _tangent_for_kernel if has_attention(plan.backend) else _tangent
    dy, mu = tangent(plan, arrays, given, (y, top, rest), moving)
    return (y, top, rest), (dy, none, mu)


def _by_loops(plan: Plan, arrays: Arrays, given: Given) -> Results:
    return _by_platform(plan, _forward, arrays, given)


def _tangent(
    plan: Plan, arrays: Arrays, given: Given, results: Results, tangents: Any
) -> tuple[jax.Array, jax.Array]:
    """The tangents of y and of rest."""
    if has_attention(plan.backend):
        plan = plan._replace(backend="xla")  # serves every tile; noise kernels do not
    y, top, rest = results
    mean, mu = _by_platform(plan, _linear, arrays, given, (*tangents, None)[:4], (top, rest))
    dy = mean - mu[..., None] * y.astype(mean.dtype)
    return dy.astype(y.dtype), mu


def _tangent_for_kernel(
    plan: Plan, arrays: Arrays, given: Given, results: Results, tangents: Tangents
) -> tuple[jax.Array, jax.Array]:
    """Like ``_tangent``, with a kernel for the gradients of q, k and v. That of bias has none."""
    *own, dbias = tangents
    parts = []
    if any(t is not None for t in own):
        moving: Any = tuple(
            jnp.zeros_like(x) if t is None else t for t, x in zip(own, arrays[:3], strict=True)
        )
        static = {"otherwise": _tangent, "backward": _backward}
        parts.append(kernels.tangent(plan, arrays, given, results, moving, **static))
    if dbias is not None:
        parts.append(_tangent(plan, arrays, given, results, (None, None, None, dbias)))
    return jax.tree.map(lambda *terms: functools.reduce(jnp.add, terms), *parts)


def _backward(
    plan: Plan,
    arrays: Arrays,
    given: Given,
    results: Results,
    cotangents: tuple[jax.Array, jax.Array],
) -> Results:
    """The cotangents of q, k and v: the transpose of ``_tangent``."""

    def tangent(*own: Any) -> tuple[jax.Array, jax.Array]:
        return _tangent(plan, arrays, given, results, own)

    return jax.linear_transpose(tangent, *arrays[:3])(cotangents)


def _by_platform(plan: Plan, function: Callable[..., Any], arrays: Arrays, *rest: Any) -> Any:
    """function(plan, tile, arrays, *rest), with the tile for the platform of the lowering."""
    batch, length, heads, _ = arrays[0].shape
    sizes = (plan, batch * heads, length, arrays[1].shape[1])
    on_cpu, elsewhere = cpu_tile(*sizes), accelerator_tile(*sizes)
    if on_cpu == elsewhere:
        return function(plan, on_cpu, arrays, *rest)
    return lax.platform_dependent(
        arrays,
        *rest,
        cpu=functools.partial(function, plan, on_cpu),
        default=functools.partial(function, plan, elsewhere),
    )


def _forward(plan: Plan, tile: Tile, arrays: Arrays, given: Given) -> Results:
    q, k, v, bias = arrays
    kv_heads, length, dtype = k.shape[2], q.shape[1], tiles.precision(q.dtype)
    given, bias = _aligned(given, bias, tile, kv_heads)
    k_blocks = key_blocks(k, tile)
    # Not differentiated: v as [c, D], so that the product with the weights is a plain one.
    v_blocks = key_blocks(v, tile).swapaxes(-1, -2)
    keys, n = k.shape[1], len(k_blocks)
    q = tiles.scaled(plan, q, q.dtype)

    def rows(i: jax.Array, qi: jax.Array, start: jax.Array) -> Results:
        acc = jnp.zeros((*qi.shape[:-1], v.shape[-1]), dtype)
        top = jnp.full(qi.shape[:-1], LOW, dtype)
        carry = varying_like((acc, top, jnp.zeros_like(top)), arrays, given)

        def one(carry: Any, j: jax.Array, kj: jax.Array, vj: jax.Array) -> Any:
            acc, top, total = carry
            seen = tiles.visible(plan, given, tile, i, j, keys)
            s = tiles.scores(plan, qi, kj, tiles.part(bias, tile, i, j), seen)
            new = jnp.maximum(top, s.max(-1))
            p = jnp.exp(s - new[..., None])
            shrink = jnp.exp(top - new)
            w = _dropped(p, tiles.kept(plan, given, start, j, tile))
            acc = acc * shrink[..., None] + tiles.times(w.astype(vj.dtype), vj, dtype)
            return acc, new, total * shrink + p.sum(-1)

        acc, top, total = over_keys(plan, given, tile, i, one, carry, n, k_blocks, v_blocks)
        blind = top <= LOW / 2  # false for a NaN score, which has to propagate
        total = jnp.where(blind, 1, total)
        factor = 1 / total if given.keep_scale is None else given.keep_scale.astype(dtype) / total
        y = jnp.where(blind[..., None], 0, acc * factor[..., None]).astype(q.dtype)
        rest = jnp.where(blind, jnp.asarray(HIGH, dtype), jnp.log(total))
        return y, jnp.where(blind, 0, top), rest

    q_blocks = query_blocks(q, tile, kv_heads)
    start = tiles.starts(plan, given, q_blocks.shape[1:4], tile, len(q_blocks))
    results = over_rows(rows, len(q_blocks), q_blocks, start)
    y, top, rest = (from_query_blocks(x, length) for x in results)
    return y, top, rest


def _linear(
    plan: Plan, tile: Tile, arrays: Arrays, given: Given, tangents: Tangents, lse: Any
) -> tuple[jax.Array, jax.Array]:
    """Σ (w·ds)·v + w·dv as [B, T, N, D], and Σ p·ds as [B, T, N]: linear in the tangents."""
    q, k, v, bias = arrays
    top, rest = lax.stop_gradient(lse[0]), lse[1]
    kv_heads, length, dtype = k.shape[2], q.shape[1], top.dtype
    given, bias = _aligned(given, bias, tile, kv_heads)
    # The transpose sums cotangents over tiles in the dtype of the tangents here: float32 or wider.
    dq, dk, dv, dbias = (None if t is None else t.astype(dtype) for t in tangents)
    dq = None if dq is None else tiles.scaled(plan, dq, q.dtype)
    q = tiles.scaled(plan, q, q.dtype)
    biases = bias, None if dbias is None else by_heads(dbias, tile, kv_heads)
    of_keys = jax.tree.map(lambda x: key_blocks(x, tile), (k, v, dk, dv))
    keys, n = k.shape[1], len(of_keys[0])

    def rows(i: Any, qi: Any, dqi: Any, lse_i: Any, start: Any, cut_i: Any) -> Any:
        top_i, rest_i = lse_i
        biases_i = cut_i or biases
        acc = jnp.zeros((*qi.shape[:-1], v.shape[-1]), dtype)
        carry = varying_like((acc, jnp.zeros_like(top_i)), arrays, given, tangents, lse)

        def one(carry: Any, j: Any, keys_j: Any, cut_j: Any) -> Any:
            acc, mu = carry
            kj, vj, dkj, dvj = keys_j
            bias_ij, dbias_ij = cut_j or biases_i
            s = tiles.scores(plan, qi, kj, bias_ij, tiles.visible(plan, given, tile, i, j, keys))
            p = jnp.exp(s - top_i[..., None] - rest_i[..., None])
            keep = tiles.kept(plan, given, start, j, tile)
            ds = tiles.scores_tangent(plan, s, (qi, kj), (dqi, dkj, dbias_ij))
            if ds is not None:
                acc = acc + tiles.weighted_tangent(_dropped(p * ds, keep), vj)
                mu = mu + (p * ds).sum(-1)
            if dvj is not None:
                acc = acc + tiles.weighted_tangent(_dropped(p, keep), dvj.astype(v.dtype))
            return acc, mu

        body = jax.checkpoint(one, prevent_cse=False)
        cut = weight_blocks(biases_i, 4, tile.columns)
        return over_keys(plan, given, tile, i, body, carry, n, of_keys, cut)

    q_blocks = query_blocks(q, tile, kv_heads)
    m = len(q_blocks)
    # Without a loop, common subexpression elimination would merge this tile with that of the
    # forward pass, and so keep its weights in memory.
    rows = jax.checkpoint(rows, prevent_cse=m == 1)
    results = over_rows(
        rows,
        m,
        q_blocks,
        None if dq is None else query_blocks(dq, tile, kv_heads),
        # HIGH, so that weights of padding are 0 whatever the bias is.
        (query_blocks(top, tile, kv_heads), query_blocks(rest, tile, kv_heads, HIGH)),
        tiles.starts(plan, given, q_blocks.shape[1:4], tile, m),
        weight_blocks(biases, 3, tile.rows),
    )
    mean, mu = (from_query_blocks(x, length) for x in results)
    return mean if given.keep_scale is None else mean * given.keep_scale.astype(dtype), mu


def _aligned(
    given: Given, bias: jax.Array | None, tile: Tile, kv_heads: int
) -> tuple[Given, jax.Array | None]:
    """Mask, bias and segments, padded to whole tiles; mask and bias with heads as (K, G)."""
    bias = None if bias is None else by_heads(bias, tile, kv_heads)
    if given.mask is not None:
        given = given._replace(mask=by_heads(given.mask, tile, kv_heads))
    if given.query_ids is not None and given.key_ids is not None:
        query_ids = padded(given.query_ids, 1, tile.rows)
        given = given._replace(query_ids=query_ids, key_ids=padded(given.key_ids, 1, tile.columns))
    return given, bias


def _dropped(p: jax.Array, keep: jax.Array | None) -> jax.Array:
    """p·keep. The factor 1/P(keep) is applied to the sums over keys."""
    return p if keep is None else jnp.where(keep, p, 0)
