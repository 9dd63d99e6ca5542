"""Linen models that use Flax like published models: all of their dropout is replaced."""

import functools
import pickle

import cloudpickle
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx
from flax.linen.attention import dot_product_attention, dot_product_attention_weights

import flaxnoise
import flaxnoise.linen
from cases import KEY, array
from closeness import assert_same_bits
from every import every

X = array(2, 5, 12)
RNGS = {"dropout": KEY}
RATE = 0.3


class AttentionWeights(nn.Module):
    """Computes weights with Flax's function and applies them itself, like BERT."""

    dropout: type = nn.Dropout
    shared: bool = False

    @nn.compact
    def __call__(self, x, deterministic=False):
        q, k, v = (nn.Dense(12)(x).reshape(2, 5, 3, 4) for _ in range(3))
        rng = None if deterministic else self.make_rng("dropout")
        weights = dot_product_attention_weights(
            q,
            k,
            dropout_rng=rng,
            dropout_rate=RATE,
            broadcast_dropout=self.shared,
            deterministic=deterministic,
            precision="highest",
        )
        y = jnp.einsum("...hqk,...khd->...qhd", weights, v).reshape(2, 5, 12)
        return self.dropout(RATE)(y, deterministic)


class AttentionFunction(nn.Module):
    """Calls Flax's attention function under an imported name."""

    @nn.compact
    def __call__(self, x, deterministic=False):
        q = nn.Dense(12)(x).reshape(2, 5, 3, 4)
        rng = None if deterministic else self.make_rng("dropout")
        options = {"dropout_rng": rng, "dropout_rate": RATE, "deterministic": deterministic}
        return dot_product_attention(q, q, q, **options) + nn.dot_product_attention(
            q, q, q, **options
        )


class PartialAttention(nn.Module):
    """Passes Flax's attention function to Flax's layer as a partial with another argument."""

    @nn.compact
    def __call__(self, x, deterministic=False):
        attention_fn = functools.partial(nn.dot_product_attention, force_fp32_for_softmax=True)
        layer = nn.MultiHeadDotProductAttention(3, dropout_rate=RATE, attention_fn=attention_fn)
        return layer(x, x, deterministic=deterministic)


class Kept(nn.Dropout):
    """A subclass that inherits __call__."""


class Louder(nn.Dropout):
    """A subclass whose __call__ calls that of the base class."""

    @nn.compact
    def __call__(self, inputs, deterministic=None, rng=None, gain=10.0):
        return gain * super().__call__(inputs, deterministic, rng)


class Subclasses(nn.Module):
    @nn.compact
    def __call__(self, x, deterministic=False):
        x = Kept(RATE)(x, deterministic)
        return Louder(RATE, deterministic=deterministic)(x, gain=3.0)


class Deep(nn.Module):
    """Dropout with shared masks under scan, remat and nn.jit."""

    @nn.compact
    def __call__(self, x, deterministic=False):
        class Block(nn.Module):
            @nn.compact
            def __call__(self, x, _):
                y = nn.Dropout(RATE, broadcast_dims=(1,))(nn.Dense(12)(x), deterministic)
                return x + y, None

        blocks = nn.scan(
            nn.remat(Block, prevent_cse=False),
            variable_axes={"params": 0},
            split_rngs={"params": True, "dropout": True},
            length=3,
        )
        return nn.jit(blocks)()(x, None)[0]


class Bridged(nn.Module):
    """Dropout of nnx inside a linen model."""

    @nn.compact
    def __call__(self, x, deterministic=False):
        return nnx.bridge.ToLinen(nnx.Dropout, args=(RATE,))(x, deterministic=deterministic)


class Scalars(nn.Module):
    """Rates that are NumPy scalars."""

    @nn.compact
    def __call__(self, x, deterministic=False):
        x = nn.Dropout(np.float32(0.0))(x, deterministic)
        return nn.Dropout(np.array(RATE))(x, deterministic)


MODELS = (
    AttentionWeights,
    AttentionFunction,
    PartialAttention,
    Subclasses,
    Deep,
    Bridged,
    Scalars,
)
every_model = pytest.mark.parametrize("model", MODELS)


def drawn_by(function, *args, **kwargs) -> set[str]:
    return {draw.computed_by for draw in flaxnoise.dropouts(function, *args, **kwargs)}


@every_model
def test_all_dropout_becomes_ours_and_evaluation_stays(model):
    model = model()
    variables = model.init({"params": KEY, "dropout": KEY}, X)
    ours = flaxnoise.linen.replace_dropout(model.apply, strict=True)
    assert drawn_by(model.apply, variables, X, rngs=RNGS) == {"flax"}
    assert drawn_by(ours, variables, X, rngs=RNGS) == {"flaxnoise"}
    theirs = model.apply(variables, X, rngs=RNGS)
    y = ours(variables, X, rngs=RNGS)
    np.testing.assert_array_equal(y, ours(variables, X, rngs=RNGS))
    assert not np.array_equal(y, theirs)
    np.testing.assert_array_equal(model.apply(variables, X, rngs=RNGS), theirs)
    expected = jax.make_jaxpr(lambda x: model.apply(variables, x, True))(X)
    assert str(jax.make_jaxpr(lambda x: ours(variables, x, True))(X)) == str(expected)
    np.testing.assert_array_equal(ours(variables, X, True), model.apply(variables, X, True))


@every_model
def test_before_and_after_jit_and_grad_it_is_the_same_program(model):
    model = model()
    variables = model.init({"params": KEY, "dropout": KEY}, X)

    def loss(apply, x):
        return jnp.sum(apply(variables, x, rngs=RNGS) ** 2)

    def compiled(apply):
        return jax.jit(jax.value_and_grad(functools.partial(loss, apply)))

    step = compiled(model.apply)
    theirs = step(X)
    inside = compiled(flaxnoise.linen.replace_dropout(model.apply))(X)
    around = flaxnoise.linen.replace_dropout(step)(X)
    same = functools.partial(jax.tree.map, assert_same_bits)
    same(around, inside)
    assert not np.array_equal(around[0], theirs[0])
    same(step(X), theirs)  # nothing stale in jit's cache
    same(flaxnoise.linen.replace_dropout(step)(X), inside)


def jitted_model() -> nn.Module:
    """Returns a model of a new class, so that nothing is cached."""

    @nn.jit
    class Jitted(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dropout(RATE, deterministic=False)(x)

    return Jitted()


@every("first", ["ours", "theirs"])
def test_no_program_of_nn_jit_is_stale(first: str):
    model = jitted_model()
    calls = {"ours": flaxnoise.linen.replace_dropout(model.apply), "theirs": model.apply}
    alone = {
        "ours": flaxnoise.linen.replace_dropout(jitted_model().apply)({}, X, rngs=RNGS),
        "theirs": jitted_model().apply({}, X, rngs=RNGS),
    }
    assert not np.array_equal(alone["ours"], alone["theirs"])
    for name in [first, *(calls.keys() - {first})] * 2:
        np.testing.assert_array_equal(calls[name]({}, X, rngs=RNGS), alone[name])


@every("shared", [True, False])
def test_weights_of_attention_are_dropped_as_our_function_does(shared: bool):
    query, key = array(2, 5, 3, 4), array(2, 5, 3, 4, seed=1)

    def theirs(query):
        return dot_product_attention_weights(
            query, key, dropout_rng=KEY, dropout_rate=RATE, broadcast_dropout=shared
        )

    weights = dot_product_attention_weights(query, key)
    expected = flaxnoise.attention_dropout(KEY, weights, RATE, broadcast_dropout=shared)
    ours = flaxnoise.linen.replace_dropout(theirs)
    np.testing.assert_array_equal(ours(query), expected)
    keys = jax.random.split(KEY, 3)

    def with_key(key, query):
        return ours_of(query, dropout_rng=key, dropout_rate=RATE, broadcast_dropout=shared)

    ours_of = flaxnoise.linen.replace_dropout(
        functools.partial(dot_product_attention_weights, key=query)
    )
    mapped = jax.vmap(with_key, (0, None))(keys, query)
    for i in range(3):
        # A softmax over few keys in two programs: a few roundings of 2^-24.
        np.testing.assert_allclose(mapped[i], with_key(keys[i], query), rtol=1e-6)


@every("partial", [False, True])
def test_attention_layers_of_long_sequences_hold_no_weights(partial: bool):
    length = 512
    x = array(1, length, 4)
    fn = nn.dot_product_attention
    fn = functools.partial(fn, broadcast_dropout=False) if partial else fn
    options = {"dropout_rate": RATE, "broadcast_dropout": not partial, "deterministic": False}
    layer = nn.MultiHeadDotProductAttention(2, attention_fn=fn, **options)
    variables = layer.init({"params": KEY, "dropout": KEY}, x)
    mask = jnp.arange(length)[None, None, :, None] > jnp.arange(length)  # fully masked for one row

    def step(x):
        return layer.apply(variables, x, mask=mask, rngs=RNGS)

    ours = flaxnoise.linen.replace_dropout(step, strict=True)
    tiled = jax.jit(ours).lower(x).compile().memory_analysis().temp_size_in_bytes
    whole = jax.jit(step).lower(x).compile().memory_analysis().temp_size_in_bytes
    assert tiled < whole / 2
    # Flax's function with our mask on its weights: sowing needs the weights.
    sown = flaxnoise.linen.replace_dropout(layer.apply)
    y = sown(variables, x, mask=mask, rngs=RNGS, sow_weights=True, mutable="intermediates")[0]
    # Sums over the length, in different order.
    np.testing.assert_allclose(jax.jit(ours)(x), y, rtol=0, atol=length * 2.0**-24)


def test_subclasses_get_the_mask_of_our_function():
    y = flaxnoise.linen.replace_dropout(Louder(RATE, deterministic=False).apply)({}, X, rngs=RNGS)
    kept = flaxnoise.linen.replace_dropout(Kept(RATE, deterministic=False).apply)({}, X, rngs=RNGS)
    ours = flaxnoise.linen.Dropout(RATE, deterministic=False).apply({}, X, rngs=RNGS)
    np.testing.assert_array_equal(kept, ours)
    np.testing.assert_array_equal(y, 10 * ours)


@every("scalar", [float, np.float32, np.array, jnp.float32])
def test_rates_at_the_ends_need_no_stream_and_let_integers_pass(scalar):
    def ours(rate):
        layer = nn.Dropout(scalar(rate), deterministic=False)
        return flaxnoise.linen.replace_dropout(layer.apply)

    for x in (X, jnp.arange(5)):
        for apply in (ours(0), lambda v, x: jax.jit(ours(0))(v, x)):
            np.testing.assert_array_equal(apply({}, x), x)
            assert apply({}, x).dtype == x.dtype
        np.testing.assert_array_equal(ours(1)({}, x), jnp.zeros_like(x))


@every("pickler", [pickle, cloudpickle])
def test_models_and_replaced_functions_can_be_pickled(pickler):
    model = AttentionWeights(dropout=Kept)
    variables = model.init(KEY, X, True)
    ours = flaxnoise.linen.replace_dropout(model.apply)
    again = pickler.loads(pickler.dumps(ours))
    np.testing.assert_array_equal(again(variables, X, rngs=RNGS), ours(variables, X, rngs=RNGS))
