"""Attention for the arrays of Flax's layers: any number of batch dimensions, masks of any dtype."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp

from flaxnoise import arguments
from flaxnoise.affine import is_shard
from flaxnoise.functional.attention.checks import OWNER
from flaxnoise.functional.attention.dot_product import dot_product_attention


def batched_attention(
    key: jax.Array | None,
    query: jax.Array,
    keys: jax.Array,
    values: jax.Array,
    rate: jax.typing.ArrayLike,
    *,
    bias: jax.Array | None = None,
    mask: jax.Array | None = None,
    broadcast_dropout: bool = True,
    is_causal: bool = False,
) -> jax.Array:
    """``dot_product_attention`` of [*batch, T, N, D], with the defaults of Flax's function.

    Computes what Flax's ``dot_product_attention`` does, without an array of all weights. Meant for
    an ``attention_fn`` that has promoted its arrays to one dtype. The dropout mask is that of
    ``attention_dropout`` on weights [*batch, N, T, S].

    Args:
        key: a jax.random key; may be None if rate is the number 0.
        query: floating array [*batch, T, N, D].
        keys: [*batch, S, K, D].
        values: [*batch, S, K, Dv].
        rate: share of the weights dropped.
        bias: floating array that broadcasts to [*batch, N, T, S].
        mask: array of any dtype that broadcasts to [*batch, N, T, S]; nonzero where a query sees a
            key.
        broadcast_dropout: whether batch and heads share one mask.
        is_causal: whether query t sees only the keys s ≤ t.

    Returns:
        [*batch, T, N, Dv].

    Raises:
        TypeError: as in ``dot_product_attention``.
        ValueError: as in ``dot_product_attention``, or several batch dimensions under
            ``local_shard``.
    """
    mask = None if mask is None else jnp.asarray(mask) != 0
    attend = functools.partial(
        dot_product_attention, broadcast_dropout=broadcast_dropout, is_causal=is_causal
    )
    ndim = getattr(query, "ndim", 0)
    if ndim <= 4:
        return attend(key, query, keys, values, rate, bias=bias, mask=mask)
    if is_shard():
        raise ValueError(
            f"{OWNER}: query must have one batch dimension at most under local_shard, "
            f"got the shape {query.shape}."
        )
    batch = query.shape[:-3]
    query, keys, values = (
        arguments.floating(OWNER, name, x)
        for name, x in (("query", query), ("keys", keys), ("values", values))
    )
    for name, x in (("keys", keys), ("values", values)):
        if x.shape[:-3] != batch:
            raise ValueError(f"{OWNER}: {name} must have the batch {batch}, got {x.shape[:-3]}.")
    q, k, v = (x.reshape(math.prod(batch), *x.shape[-3:]) for x in (query, keys, values))
    y = attend(key, q, k, v, rate, bias=_flat(bias, batch), mask=_flat(mask, batch))
    return y.reshape(*batch, *y.shape[1:])


def _flat(x: Any, batch: tuple[int, ...]) -> jax.Array | None:
    """[*batch, N, T, S] or fewer dimensions → [B|1, N, T, S]; unchanged if it has no batch."""
    if x is None or x.ndim <= 3:
        return x
    own = (1,) * (len(batch) + 3 - x.ndim) + x.shape[:-3]
    if all(size == 1 for size in own):
        return x.reshape(1, *x.shape[-3:])
    x = jnp.broadcast_to(x.reshape(*own, *x.shape[-3:]), (*batch, *x.shape[-3:]))
    return x.reshape(math.prod(batch), *x.shape[-3:])
