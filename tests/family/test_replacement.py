"""replace_dropout replaces Flax's dropout in existing models, including that in attention."""

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.extend.core import jaxprs_in_params

import flaxnoise
import flaxnoise.linen
import flaxnoise.nnx
from cases import KEY, array
from every import every

X = array(2, 5, 12)
RNGS = {"dropout": KEY}
# Two sums over five keys in any order: weights that sum to at most 1.5 at rate 0.3, times values of
# at most 2. The weights come from the same operations.
SUMS = 2 * 5 * 2.0**-24 * 1.5 * 2


class LinenBlock(flax.linen.Module):
    rate: float = 0.5

    @flax.linen.compact
    def __call__(self, x, deterministic):
        attention = flax.linen.MultiHeadDotProductAttention(3, dropout_rate=self.rate)
        x = x + attention(x, x, deterministic=deterministic)
        return x + flax.linen.Dropout(self.rate)(flax.linen.Dense(12)(x), deterministic)


class NnxBlock(nnx.Module):
    def __init__(self, rate, rngs):
        self.attention = nnx.MultiHeadAttention(
            3, 12, dropout_rate=rate, decode=False, rngs=rngs, broadcast_dropout=False
        )
        self.dense = nnx.Sequential(nnx.Linear(12, 12, rngs=rngs), nnx.Dropout(rate, rngs=rngs))
        self.more = nnx.List([nnx.Dropout(rate, broadcast_dims=(1,), rngs=rngs)])
        self.again = self.more[0]

    def __call__(self, x):
        return self.more[0](x + self.dense(x + self.attention(x)))


def counted(jaxpr) -> tuple[int, int]:
    """Counts (our primitives, jax's generators) in a jaxpr and those nested in it."""
    ours = theirs = 0
    for equation in jaxpr.eqns:
        ours += equation.primitive.name == "flaxnoise_affine"
        theirs += equation.primitive.name == "random_bits"
        for inner in jaxprs_in_params(equation.params):
            more = counted(inner)
            ours, theirs = ours + more[0], theirs + more[1]
    return ours, theirs


def test_linen_model_runs_ours_everywhere():
    model = LinenBlock()
    variables = model.init(KEY, X, True)
    ours = flaxnoise.linen.replace_dropout(model.apply)

    def program(apply):
        return jax.make_jaxpr(lambda x: apply(variables, x, False, rngs=RNGS))(X).jaxpr

    assert counted(program(model.apply)) == (0, 2)
    assert counted(program(ours)) == (2, 0)
    assert counted(program(model.apply)) == (0, 2)  # left as it was
    np.testing.assert_array_equal(ours(variables, X, True), model.apply(variables, X, True))
    y = ours(variables, X, False, rngs=RNGS)
    np.testing.assert_array_equal(y, ours(variables, X, False, rngs=RNGS))
    assert not np.array_equal(y, model.apply(variables, X, False, rngs=RNGS))
    initialised = flaxnoise.linen.replace_dropout(model.init)(KEY, X, True)
    jax.tree.map(np.testing.assert_array_equal, initialised, variables)


def test_linen_dropout_is_the_function_with_the_key_of_the_stream():
    class Probe(flax.linen.Module):
        layer: type

        @flax.linen.compact
        def __call__(self, x):
            return self.layer(0.3, deterministic=False, name="layer")(x)

    theirs = flaxnoise.linen.replace_dropout(Probe(flax.linen.Dropout).apply)({}, X, rngs=RNGS)
    ours = Probe(flaxnoise.linen.Dropout).apply({}, X, rngs=RNGS)
    np.testing.assert_array_equal(theirs, ours)


def test_nnx_model_runs_ours_everywhere():
    model = NnxBlock(0.5, nnx.Rngs(0))
    model.train()
    before = nnx.to_pure_dict(nnx.state(model, nnx.RngKey))

    def program():
        graph, state = nnx.split(model)
        return jax.make_jaxpr(lambda state, x: nnx.merge(graph, state)(x))(state, X).jaxpr

    assert counted(program()) == (0, 3)
    assert flaxnoise.nnx.replace_dropout(model) is model
    assert counted(program()) == (3, 0)
    assert isinstance(model.dense.layers[1], flaxnoise.nnx.Dropout)
    assert model.again is model.more[0]
    assert model.again.broadcast_dims == (1,)
    after = nnx.to_pure_dict(nnx.state(model, nnx.RngKey))
    jax.tree.map(
        np.testing.assert_array_equal,
        jax.tree.map(jax.random.key_data, before),
        jax.tree.map(jax.random.key_data, after),
    )
    model.eval()
    np.testing.assert_array_equal(model(X), model(X))
    model.train()
    assert not np.array_equal(model(X), model(X))


def test_a_dropout_by_itself_is_replaced_and_keeps_its_stream():
    ours = flaxnoise.nnx.replace_dropout(nnx.Dropout(0.3, rngs=nnx.Rngs(0)))
    expected = flaxnoise.nnx.Dropout(0.3, rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(ours(X), expected(X))


@pytest.mark.parametrize("api", [flaxnoise.linen, flaxnoise.nnx])
@every("shared", [True, False])
def test_attention_drops_weights_as_the_function_does(api, shared: bool):
    query, key, value = (array(2, 5, 3, 4, seed=i) for i in range(3))
    options = {"dropout_rng": KEY, "broadcast_dropout": shared}
    y = api.dot_product_attention(query, key, value, dropout_rate=0.3, **options)
    weights = flax.linen.dot_product_attention_weights(query, key)
    dropped = flaxnoise.attention_dropout(KEY, weights, 0.3, broadcast_dropout=shared)
    expected = jnp.einsum("bhqk,bkhd->bqhd", dropped, value)
    np.testing.assert_allclose(y, expected, rtol=0, atol=SUMS)
    zeros = api.dot_product_attention(query, key, value, dropout_rate=1.0, **options)
    np.testing.assert_array_equal(zeros, jnp.zeros_like(value))
    calm = api.dot_product_attention(query, key, value, deterministic=True)
    flax_s = flax.linen.dot_product_attention(query, key, value, deterministic=True)
    np.testing.assert_allclose(calm, flax_s, rtol=0, atol=SUMS)


def test_grouped_heads_and_causal_masks_of_nnx():
    query, key, value = array(2, 5, 6, 4), array(2, 5, 3, 4, seed=1), array(2, 5, 3, 4, seed=2)
    calm = nnx.dot_product_attention(query, key, value, is_causal=True, dropout_rate=0.0)
    rate = 2.0**-30  # drops nothing here, but takes the code path with dropout
    y = flaxnoise.nnx.dot_product_attention(
        query, key, value, is_causal=True, dropout_rate=rate, dropout_rng=KEY
    )
    np.testing.assert_allclose(y, calm, rtol=0, atol=SUMS)


def test_dropouts_in_tuples_are_replaced():
    class Pair(nnx.Module):
        def __init__(self, rngs):
            dropout = nnx.Dropout(0.5, rngs=rngs)
            self.layers = nnx.data((nnx.Linear(12, 12, rngs=rngs), (dropout, dropout)))

    layers = flaxnoise.nnx.replace_dropout(Pair(nnx.Rngs(0))).layers
    assert type(layers[1][0]) is flaxnoise.nnx.Dropout
    assert layers[1][0] is layers[1][1]
