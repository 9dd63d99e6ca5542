"""Attention with dropout of its weights, without an array of all weights."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from flaxnoise import arguments
from flaxnoise.affine import forced_backend, varying
from flaxnoise.functional.attention import checks
from flaxnoise.functional.attention.blockwise import attend
from flaxnoise.functional.attention.checks import OWNER
from flaxnoise.functional.attention.plan import HIGH, Given, Plan
from flaxnoise.functional.attention.shards import origin, per_shard
from flaxnoise.functional.attention.tiles import precision
from flaxnoise.functional.formula import bernoulli


def dot_product_attention(
    key: jax.Array | None,
    query: jax.Array,
    keys: jax.Array,
    values: jax.Array,
    rate: jax.typing.ArrayLike,
    *,
    bias: jax.Array | None = None,
    mask: jax.Array | None = None,
    scale: float | None = None,
    is_causal: bool = False,
    query_seq_lengths: jax.Array | None = None,
    key_value_seq_lengths: jax.Array | None = None,
    local_window_size: int | tuple[int, int] | None = None,
    segment_ids: jax.Array | tuple[jax.Array, jax.Array] | None = None,
    logits_soft_cap: float | None = None,
    broadcast_dropout: bool = False,
    return_residual: bool = False,
    key_value_shard: tuple[jax.typing.ArrayLike, int] | None = None,
    block_sizes: tuple[int, int] | None = None,
) -> Any:
    """Attention with dropout of its weights: y = (softmax(scale·q·kᵀ + bias)·keep/P(keep))·v.

    Like ``jax.nn.dot_product_attention`` with a key and a rate, but in memory that is linear in the
    sequence lengths: neither pass forms an array of queries × keys. Weights are computed tile by
    tile, and each tile draws its part of the mask, again in the backward pass. For every tile size
    the mask is ``flaxnoise.random.keep_mask(key, (B, N, T, S), rate)``, so that up to rounding the
    result is that of softmax, ``attention_dropout`` and a weighted sum. A query that sees no key
    gets zeros. With rate 0 it is attention without dropout. Values that are infinite or NaN make
    the result NaN even where they are dropped or masked, as 0·∞ does in the weighted sum.

    Dao, "FlashAttention-2", ICLR 2024; Vaswani et al., "Attention is all you need", NeurIPS 2017.

    Args:
        key: a jax.random key, typed or raw; under vmap, a batch of them. May be None if rate is the
            number 0.
        query: floating array [B, T, N, D], or [T, N, D].
        keys: [B, S, K, D], of query's dtype; K divides N. N/K heads of queries share each head of
            keys: K = N is multi-head attention, K = 1 multi-query attention.
        values: [B, S, K, Dv], of query's dtype.
        rate: share of the weights dropped, in [0, 1]; a number. May be traced. A rate that is
            traced or on an accelerator is not checked: values below 0 count as 0, values above 1
            and NaN as 1. Has no gradient.
        bias: floating array, added to the scores, that broadcasts to [B, N, T, S]. Has a gradient.
            Values below −5e29, such as −inf, mask a key.
        mask: boolean array that broadcasts to [B, N, T, S], True where a query sees a key.
        scale: factor of q·kᵀ; by default 1/√D.
        is_causal: whether query t sees only the keys s ≤ t.
        query_seq_lengths: integers [B]; later queries get zeros.
        key_value_seq_lengths: integers [B]; later keys are masked.
        local_window_size: (left, right), or one integer for both: query t sees only the keys
            t − left ≤ s ≤ t + right.
        segment_ids: integers [B, T] for T = S, or a pair [B, T] and [B, S]: a query sees only the
            keys of its own segment.
        logits_soft_cap: bounds the scores, bias included, by cap·tanh(scores/cap).
        broadcast_dropout: whether batch and heads share one mask, as in ``attention_dropout``.
        return_residual: whether to return the logarithm of the softmax's denominator as well.
        key_value_shard: (index, count) if keys and values are one of count equal shards of a longer
            sequence, as in ring attention. The index may be traced. Under ``local_shard`` with the
            spec of query, the positions of the queries follow from the mesh.
        block_sizes: (queries, keys) of a tile; by default chosen from shapes and platform. Does not
            affect the mask.

    Returns:
        [B, T, N, Dv] or [T, N, Dv], of query's dtype. With return_residual, a pair of this and the
        logarithm [B, T, N] or [T, N], float32 (float64 for float64), which is −inf for a query that
        sees no key and has a gradient.

    Raises:
        TypeError: key is not a key, arrays of wrong or different dtypes, or a scale, cap, size or
            flag that is traced.
        ValueError: rate outside [0, 1] or not a scalar, a batch of keys, or shapes that do not
            match.

    Example:
        >>> q, k, v = jax.random.normal(key, (3, 2, 33, 4, 8))
        >>> y = flaxnoise.dot_product_attention(key, q, k, v, 0.1, is_causal=True)
        >>> y.shape
        (2, 33, 4, 8)
    """
    given_query = query
    query, keys, values = checks.queries_keys_values(query, keys, values)
    batch = jnp.shape(given_query)[:-3]
    weights = (query.shape[0], query.shape[2], query.shape[1], keys.shape[1])
    arguments.rate(OWNER, rate, ())
    drops = not arguments.is_zero(rate)
    if drops or key is not None:
        key = arguments.single_key(OWNER, key)
    scale = checks.number("scale", scale)
    key_shard, key_shards = checks.shard_of_keys(key_value_shard)
    query_ids, key_ids = checks.segments(segment_ids, batch, *weights[2:])
    static = Plan(
        scale=query.shape[-1] ** -0.5 if scale is None else scale,
        soft_cap=checks.number("logits_soft_cap", logits_soft_cap, positive=True),
        causal=checks.flag("is_causal", is_causal),
        window=checks.window(local_window_size),
        drops=drops,
        shared=checks.flag("broadcast_dropout", broadcast_dropout),
        global_shape=(*weights[:3], weights[3] * key_shards),
        block_sizes=checks.block_sizes(block_sizes),
        backend=forced_backend(),
    )
    given = Given(
        mask=checks.per_weight("mask", mask, weights, boolean=True),
        query_ids=query_ids,
        key_ids=key_ids,
        query_ends=checks.lengths("query_seq_lengths", query_seq_lengths, batch),
        key_ends=checks.lengths("key_value_seq_lengths", key_value_seq_lengths, batch),
    )
    bias = checks.per_weight("bias", bias, weights, boolean=False)
    residual = checks.flag("return_residual", return_residual)
    if not drops:
        key, rate = None, 0.0
    # Not inlined: layers of equal shapes share one trace.
    run = functools.partial(_attention, static, key_shards > 1, len(batch) + 3)
    y, lse = per_shard(run, (key, rate, key_shard), (query, keys, values, bias), given)
    if not batch:
        y, lse = y[0], lse[0]
    return (y, lse) if residual else y


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _attention(
    plan: Plan, is_key_shard: bool, rank: int, of_call: Any, arrays: Any, given: Given
) -> tuple[jax.Array, jax.Array]:
    """Attention of checked arguments: global arrays, or the shards of one device."""
    key, rate, key_shard = of_call
    key_shard = key_shard if is_key_shard else None
    first, plan = origin(plan, arrays[0], arrays[1].shape[1], key_shard, rank)
    given = given._replace(origin=first)
    if plan.drops:
        threshold, keep_scale = bernoulli(rate, dtype=precision(arrays[0].dtype))
        given = given._replace(
            words=arguments.key_words(key), threshold=threshold, keep_scale=keep_scale
        )
    # Outside of the loops: otherwise the transpose of shard_map sums the gradients of replicated
    # arrays inside of them, and devices that skip a tile miss the collective, which deadlocks.
    arrays, given = varying.unified((arrays, given))
    y, top, rest = attend(plan, *arrays, given)
    return y, jnp.where(rest > HIGH / 2, -jnp.inf, top + rest)
