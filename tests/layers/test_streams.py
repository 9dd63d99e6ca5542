"""A call takes one key from its stream, for any parameters, and none in evaluation."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from flax.errors import InvalidRngError

import flaxnoise.linen
import flaxnoise.nnx
from closeness import assert_same_bits
from every import every
from layer_table import ROWS, Api, Row, every_api, every_row, two_rows

KEY = jax.random.key(5)
X = jax.random.normal(jax.random.key(3), (33, 129))
ODD = jnp.array([jnp.nan, -jnp.nan, jnp.inf, -jnp.inf, -0.0, 0.0, 1e-45, 3.0], jnp.float32)

MISSING = (InvalidRngError, ValueError)  # linen, nnx
RATES = [0, 0.0, 0.3, 1, 1.0, np.float32(0), jnp.array(0.0), jnp.array(0.3), jnp.array(1.0)]


@every("rate", RATES, ids=repr)
def test_every_rate_takes_one_key_of_an_nnx_stream(rate: Any):
    for call in ({}, {"rate": rate}):
        layer = flaxnoise.nnx.Dropout(0.3 if call else rate, rngs=nnx.Rngs(0))
        rngs = nnx.Rngs(dropout=1)
        layer(X, rngs=rngs, **call)
        layer(X, **call)
        layer(X, **call)
        assert (rngs.dropout.count[...], layer.rngs.count[...]) == (1, 2)


class TwoCalls(nn.Module):
    @nn.compact
    def __call__(self, x: jax.Array, rate: Any, deterministic: bool) -> jax.Array:
        layer = flaxnoise.linen.Dropout()
        layer(x, deterministic, rate=rate)
        return layer(x, False, rate=0.3)


@every("stream", ["dropout", "params"])
def test_every_rate_takes_one_key_of_a_linen_stream(stream: str):
    rngs = {stream: KEY}
    expected = TwoCalls().apply({}, X, 0.5, deterministic=False, rngs=rngs)
    first = TwoCalls().apply({}, X, 0.5, deterministic=True, rngs=rngs)
    assert not np.array_equal(first, expected)
    for rate in RATES:
        second = TwoCalls().apply({}, X, rate, deterministic=False, rngs=rngs)
        np.testing.assert_array_equal(second, expected)


@two_rows
def test_evaluation_and_given_keys_take_none(row: Row):
    layer = getattr(flaxnoise.nnx, row.name)(**row.fields, rngs=nnx.Rngs(0))
    rngs = nnx.Rngs(1)
    layer(X, deterministic=True, rngs=rngs)
    layer(X, key=KEY, rngs=rngs)
    layer.eval()
    layer(X)
    assert (rngs.default.count[...], layer.rngs.count[...]) == (0, 0)


def test_a_changed_rate_does_not_move_the_noise_of_later_layers():
    def second(rate: float) -> jax.Array:
        rngs = nnx.Rngs(0)
        first = flaxnoise.nnx.Dropout(rate)
        second = flaxnoise.nnx.GaussianNoise(0.3)
        first(X, rngs=rngs)
        return second(X, rngs=rngs)

    for rate in (0.0, 1.0):
        np.testing.assert_array_equal(second(rate), second(0.3))


IDENTITIES = [(row, params) for row in ROWS for params in row.case.identity]
ZEROS = [(row, params) for row in ROWS for params in row.case.zeros]


@every_api
@every(("row", "params"), IDENTITIES, ids=str)
def test_without_a_stream_a_noise_of_no_strength_is_the_identity(
    api: Api, row: Row, params: tuple[float, ...]
):
    fields = row.fields_of(params)
    for x in (X, ODD, ODD.astype(jnp.bfloat16)):
        assert_same_bits(api.run(row, x, fields=fields), x)
        assert_same_bits(api.run(row, x, **fields), x)


@every_api
@every(("row", "params"), ZEROS, ids=str)
def test_without_a_stream_a_rate_of_one_gives_zeros(api: Api, row: Row, params: tuple[float, ...]):
    assert_same_bits(api.run(row, ODD, fields=row.fields_of(params)), jnp.zeros_like(ODD))


@every_api
@every_row
def test_without_a_stream_every_other_strength_raises(api: Api, row: Row):
    certain = {*row.case.identity, *row.case.zeros}
    strong = 0.9 if row.name == "GaussianDropout" else 1.0
    for params in {row.case.params, (strong,) * len(row.case.params)} - certain:
        with pytest.raises(MISSING, match=r"PRNG|rngs must be"):
            api.run(row, X, fields=row.fields_of(params))


@every_api
def test_without_a_stream_zeros_that_are_an_array_raise(api: Api):
    for rate in (jnp.zeros(129), np.zeros(129, np.float32)):
        with pytest.raises(MISSING, match=r"PRNG|rngs must be"):
            api.run(ROWS[0], X, rate=rate)


@every_row
def test_an_unbound_linen_layer_works_with_a_key(row: Row):
    layer = getattr(flaxnoise.linen, row.name)(**row.fields, deterministic=False)
    np.testing.assert_array_equal(layer(X, key=KEY), row.function(KEY, X, **row.fields))
    with pytest.raises(ValueError, match="unbound"):
        layer(X)


def test_an_nnx_layer_takes_a_key_for_its_stream():
    for key in (KEY, jax.random.key_data(KEY)):
        layer = flaxnoise.nnx.Dropout(0.3, rngs=key)
        stream = nnx.RngStream(KEY, tag="dropout")
        for _ in range(2):
            np.testing.assert_array_equal(layer(X), flaxnoise.dropout(stream(), X, 0.3))
