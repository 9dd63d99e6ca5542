"""Each wrong argument has one error message, which begins with the function and the argument."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flaxnoise
from attention_cases import KEY, normal
from every import every

Q, K = normal(2, 9, 4, 8), normal(2, 11, 2, 8)

MISTAKES = {
    "no key": ({"key": None}, TypeError, "key is missing"),
    "a batch of keys": ({"key": jax.random.split(KEY)}, ValueError, "key must be a single key"),
    "integers": ({"query": Q.astype(int)}, TypeError, "query must be a floating array"),
    "a list": ({"keys": [1.0]}, TypeError, "keys must be a floating array"),
    "dtypes": ({"values": K.astype(jnp.bfloat16)}, TypeError, "must have one dtype, got float32"),
    "two dimensions": ({"query": Q[0, 0]}, ValueError, r"query must be \[batch, length, heads"),
    "batch": ({"keys": K[:1]}, ValueError, r"keys must be \[2, length, heads, 8\] for a query"),
    "sizes": ({"keys": K[..., :4]}, ValueError, r"keys must be \[2, length, heads, 8\]"),
    "dimensions": ({"keys": K[0]}, ValueError, r"keys must be \[2, length, heads, 8\]"),
    "no heads": ({"query": Q[:, :, :0], "keys": K[:, :, :0]}, ValueError, "got 0 and 0"),
    "no features": (
        {"query": Q[..., :0], "keys": K[..., :0]},
        ValueError,
        "query must have a size of at least 1 per head, got 0",
    ),
    "heads": (
        {"keys": normal(2, 11, 3, 8)},
        ValueError,
        "a number of heads, at least 1, that divides that of query, got 3 and 4",
    ),
    "lengths": ({"values": K[:, :7]}, ValueError, r"values must be \[2, 11, 2, size\] for keys"),
    "rate": ({"rate": 1.5}, ValueError, r"rate must be in \[0, 1\], got 1.5"),
    "rates": ({"rate": jnp.ones(2)}, ValueError, "rate must be a scalar"),
    "rate text": ({"rate": "0.1"}, TypeError, "rate must be a real number"),
    "bias shape": ({"bias": jnp.ones((2, 3, 9, 11))}, ValueError, r"bias must broadcast .* \(2, 4"),
    "bias rank": ({"bias": jnp.ones((1, 2, 4, 9, 11))}, ValueError, "bias must broadcast"),
    "bias dtype": ({"bias": jnp.ones((9, 11), int)}, TypeError, "bias must be a floating array"),
    "mask dtype": ({"mask": jnp.ones((9, 11))}, TypeError, "mask must be a boolean array"),
    "mask shape": ({"mask": jnp.ones((11, 9), bool)}, ValueError, "mask must broadcast"),
    "scale": ({"scale": float("nan")}, ValueError, "scale must be finite"),
    "cap": ({"logits_soft_cap": 0.0}, ValueError, "logits_soft_cap must be finite and > 0"),
    "causal": ({"is_causal": 1}, TypeError, "is_causal must be True or False, got 1"),
    "shared": ({"broadcast_dropout": None}, TypeError, "broadcast_dropout must be True or False"),
    "residual": ({"return_residual": "yes"}, TypeError, "return_residual must be True or False"),
    "length shape": (
        {"key_value_seq_lengths": jnp.ones(3, int)},
        ValueError,
        r"key_value_seq_lengths must have the shape \(2,\)",
    ),
    "length dtype": (
        {"query_seq_lengths": jnp.ones(2)},
        TypeError,
        "query_seq_lengths must be integers",
    ),
    "window": ({"local_window_size": -1}, ValueError, "local_window_size must be at least 0"),
    "windows": ({"local_window_size": (1, 2, 3)}, ValueError, "an integer or a pair"),
    "window dtype": ({"local_window_size": 1.5}, TypeError, "local_window_size must be an integer"),
    "segments of one": (
        {"segment_ids": jnp.ones((2, 9), int)},
        ValueError,
        "segment_ids must be a pair .* 9 queries and 11 keys",
    ),
    "segment shape": (
        {"segment_ids": (jnp.ones((2, 9), int), jnp.ones((2, 9), int))},
        ValueError,
        r"segment_ids must broadcast to the shape \(2, 11\)",
    ),
    "three segments": (
        {"segment_ids": (jnp.ones((2, 9), int),) * 3},
        ValueError,
        "an array or a pair, got 3",
    ),
    "segment dtype": (
        {"segment_ids": (jnp.ones((2, 9)), jnp.ones((2, 11)))},
        TypeError,
        "segment_ids must be integers",
    ),
    "blocks": ({"block_sizes": (0, 8)}, ValueError, "block_sizes must be at least 1"),
    "a block": ({"block_sizes": 8}, TypeError, r"block_sizes must be a pair \(queries, keys\)"),
    "shard": ({"key_value_shard": (4, 4)}, ValueError, "an index from 0 to 3, got 4"),
    "shards": ({"key_value_shard": 3}, TypeError, r"must be a pair \(index, count\), got 3"),
}


@every("name", MISTAKES)
def test_mistakes_are_named(name: str):
    given, error, text = MISTAKES[name]
    arguments = {"key": KEY, "query": Q, "keys": K, "values": K, "rate": 0.1, **given}
    with pytest.raises(error, match=rf"^dot_product_attention: .*{text}"):
        flaxnoise.dot_product_attention(**arguments)


def test_what_must_be_known_while_tracing():
    call = functools.partial(flaxnoise.dot_product_attention, KEY, Q, K, K, 0.1)
    for name, value in (("scale", 0.5), ("logits_soft_cap", 2.0), ("is_causal", True)):
        with pytest.raises(TypeError, match=rf"^dot_product_attention: {name} must be"):
            jax.jit(lambda x, name=name: call(**{name: x}))(value)


def test_lists_and_numpy_arrays_serve_as_jax_arrays_do():
    options = {"mask": jnp.ones((9, 11), bool), "query_seq_lengths": jnp.asarray([9, 8])}
    lists = {"mask": np.ones((9, 11), bool), "query_seq_lengths": [9, 8]}
    q, k = np.asarray(Q), np.asarray(K)
    y = flaxnoise.dot_product_attention(KEY, q, k, k, np.float32(0.3), **lists)
    np.testing.assert_array_equal(
        y, flaxnoise.dot_product_attention(KEY, Q, K, K, jnp.float32(0.3), **options)
    )
