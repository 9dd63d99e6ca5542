"""Checks of the arguments of attention."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

from flaxnoise import arguments
from flaxnoise.arguments.arrays import short
from flaxnoise.arguments.shapes import broadcasts

OWNER = "dot_product_attention"


def queries_keys_values(
    query: Any, keys: Any, values: Any
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The three as [B, T, N, D], [B, S, K, D], [B, S, K, Dv], with B = 1 if they have no batch.

    Raises:
        TypeError: not floating, or not of one dtype.
        ValueError: shapes that do not match.
    """
    query, keys, values = (
        arguments.floating(OWNER, name, x)
        for name, x in (("query", query), ("keys", keys), ("values", values))
    )
    if not query.dtype == keys.dtype == values.dtype:
        raise TypeError(
            f"{OWNER}: query, keys and values must have one dtype, got {query.dtype}, "
            f"{keys.dtype} and {values.dtype}."
        )
    if query.ndim not in (3, 4):
        raise ValueError(
            f"{OWNER}: query must be [batch, length, heads, size] or [length, heads, size], "
            f"got the shape {query.shape}."
        )
    shape = f"for a query of shape {query.shape}"
    batch, (_, heads, size) = query.shape[:-3], query.shape[-3:]
    if keys.ndim != query.ndim or keys.shape[:-3] != batch or keys.shape[-1] != size:
        wanted = ", ".join(map(str, (*batch, "length", "heads", size)))
        raise ValueError(f"{OWNER}: keys must be [{wanted}] {shape}, got {keys.shape}.")
    if size == 0:
        raise ValueError(f"{OWNER}: query must have a size of at least 1 per head, got 0.")
    kv_heads = keys.shape[-2]
    if kv_heads == 0 or heads == 0 or heads % kv_heads:
        raise ValueError(
            f"{OWNER}: keys must have a number of heads, at least 1, that divides that of query, "
            f"got {kv_heads} and {heads}."
        )
    if values.shape[:-1] != keys.shape[:-1]:
        wanted = ", ".join(map(str, (*keys.shape[:-1], "size")))
        raise ValueError(
            f"{OWNER}: values must be [{wanted}] for keys of shape {keys.shape}, "
            f"got {values.shape}."
        )
    if query.ndim == 4:
        return query, keys, values
    return query[None], keys[None], values[None]


def per_weight(
    name: str, value: Any, weights: tuple[Any, ...], *, boolean: bool
) -> jax.Array | None:
    """A bias or mask as [B|1, N|1, T|1, S|1].

    Raises:
        TypeError: wrong dtype.
        ValueError: it does not broadcast to the weights.
    """
    if value is None:
        return None
    dtype = getattr(value, "dtype", None)
    if boolean and dtype != jnp.bool_:
        raise TypeError(
            f"{OWNER}: {name} must be a boolean array, True where a query sees a key, "
            f"got {short(value)}. What is added to the scores is bias."
        )
    value = jnp.asarray(value) if boolean else arguments.floating(OWNER, name, value)
    if not broadcasts(value.shape, weights):
        raise ValueError(
            f"{OWNER}: {name} must broadcast to the shape {weights} of the weights, "
            f"[batch, heads, queries, keys], got the shape {value.shape}."
        )
    return value.reshape((1,) * (4 - value.ndim) + value.shape)


def lengths(name: str, value: Any, batch: tuple[Any, ...]) -> jax.Array | None:
    """Lengths of sequences as int32[B].

    Raises:
        TypeError: not integers.
        ValueError: not one integer for each example.
    """
    if value is None:
        return None
    value = arguments.integers(OWNER, name, value)
    arguments.of_shape(OWNER, name, value, batch)
    return value.astype(jnp.int32).reshape(value.shape or (1,))


def segments(
    value: Any, batch: tuple[Any, ...], queries: Any, keys: Any
) -> tuple[jax.Array | None, jax.Array | None]:
    """Segments of queries and keys as [B|1, T] and [B|1, S].

    Raises:
        TypeError: not integers.
        ValueError: one array for T ≠ S, or shapes that do not match.
    """
    if value is None:
        return None, None
    if not isinstance(value, tuple | list):
        if queries != keys:
            raise ValueError(
                f"{OWNER}: segment_ids must be a pair (of queries, of keys) where there are "
                f"{queries} queries and {keys} keys."
            )
        value = (value, value)
    if len(value) != 2:
        raise ValueError(f"{OWNER}: segment_ids must be an array or a pair, got {len(value)}.")
    of_queries, of_keys = (arguments.integers(OWNER, "segment_ids", own) for own in value)
    for ids, length in ((of_queries, queries), (of_keys, keys)):
        if ids.ndim == 0 or ids.shape[-1] != length or not broadcasts(ids.shape, (*batch, length)):
            raise ValueError(
                f"{OWNER}: segment_ids must broadcast to the shape {(*batch, length)}, "
                f"got {ids.shape}."
            )
    of_queries, of_keys = (x.reshape(-1, x.shape[-1]) for x in (of_queries, of_keys))
    return of_queries, of_keys


def number(name: str, value: Any, *, positive: bool = False) -> float | None:
    """A static number as a float.

    Raises:
        TypeError: traced, or not a number.
        ValueError: not finite, or not above 0 if ``positive``.
    """
    if value is None:
        return None
    if isinstance(value, Tracer):
        raise TypeError(
            f"{OWNER}: {name} must be known while tracing, got {short(value)}. "
            "Multiply the query by a learned factor instead."
        )
    check = arguments.positive if positive else arguments.finite
    return float(check(OWNER, name, value, ()))


def flag(name: str, value: Any) -> bool:
    """``arguments.flag`` of attention."""
    return arguments.flag(OWNER, name, value)


def window(value: Any) -> tuple[int, int] | None:
    """(left, right): how many keys before and after its own position a query sees.

    Raises:
        TypeError: not integers.
        ValueError: negative, or not one or two integers.
    """
    if value is None:
        return None
    both = tuple(value) if isinstance(value, tuple | list) else (value, value)
    if len(both) != 2:
        raise ValueError(
            f"{OWNER}: local_window_size must be an integer or a pair (left, right), got {value!r}."
        )
    left, right = (arguments.count(OWNER, "local_window_size", own, least=0) for own in both)
    most = 2**30  # longer than any sequence, but position + window still fits int32
    return min(left, most), min(right, most)


def block_sizes(value: Any) -> tuple[int, int] | None:
    """(queries, keys) of a tile.

    Raises:
        TypeError: not a pair of integers.
        ValueError: not positive.
    """
    if value is None:
        return None
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise TypeError(f"{OWNER}: block_sizes must be a pair (queries, keys), got {value!r}.")
    queries, keys = (arguments.count(OWNER, "block_sizes", own) for own in value)
    return queries, keys


def shard_of_keys(value: Any) -> tuple[Any, int]:
    """(index, count): the keys are shard number index of count equal shards of the sequence.

    Raises:
        TypeError: not a pair of integers.
        ValueError: count below 1, or index out of range.
    """
    if value is None:
        return 0, 1
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise TypeError(f"{OWNER}: key_value_shard must be a pair (index, count), got {value!r}.")
    shards = arguments.count(OWNER, "key_value_shard", value[1])
    index = arguments.integers(OWNER, "key_value_shard", value[0])
    arguments.of_shape(OWNER, "the index in key_value_shard", index, ())
    if not isinstance(index, Tracer) and not 0 <= int(index) < shards:
        raise ValueError(
            f"{OWNER}: key_value_shard must have an index from 0 to {shards - 1}, got {int(index)}."
        )
    return index, shards
