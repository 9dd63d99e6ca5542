"""nnx models that use Flax like published models: all of their dropout is replaced."""

import functools
import pickle

import cloudpickle
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx

import flaxnoise
import flaxnoise.nnx
from cases import array
from every import every

X = array(2, 5, 12)
RATE = 0.3


class Kept(nnx.Dropout):
    """A subclass that inherits __call__ and adds an attribute."""

    def __init__(self, rate, *, rngs):
        super().__init__(rate, rngs=rngs)
        self.note = "kept"


class Louder(nnx.Dropout):
    """A subclass whose __call__ calls that of the base class."""

    def __call__(self, inputs, **kwargs):
        return 10 * super().__call__(inputs, **kwargs)


class OwnDropout(nnx.Dropout):
    """A subclass that draws by itself."""

    def __call__(self, inputs, *, deterministic=None, rngs=None):
        return inputs * jax.random.bernoulli(self.rngs(), 1 - self.rate, inputs.shape)


class Model(nnx.Module):
    def __init__(self, rngs):
        attention_fn = functools.partial(nnx.dot_product_attention, precision="highest")
        options = {"decode": False, "rngs": rngs, "dropout_rate": RATE}
        self.first = nnx.MultiHeadAttention(3, 12, attention_fn=attention_fn, **options)
        self.second = nnx.MultiHeadAttention(3, 12, **options)
        self.kept = Kept(RATE, rngs=rngs)
        self.layers = nnx.List([nnx.Linear(12, 12, rngs=rngs), nnx.Dropout(RATE, rngs=rngs)])
        self.louder = Louder(RATE, rngs=rngs)
        self.again = self.layers[1]
        self.linen = nnx.bridge.ToNNX(nn.Dropout(RATE), rngs=rngs)

    def __call__(self, x, deterministic=False):
        x = self.kept(self.second(self.first(x)))
        for layer in self.layers:
            x = layer(x)
        return self.linen(self.louder(self.again(x)), deterministic=deterministic)


class FunctionalAttention(nnx.Module):
    """Calls attention as a function."""

    def __init__(self, rngs):
        self.dense = nnx.Linear(12, 12, rngs=rngs)
        self.rngs = rngs.dropout.fork()

    def __call__(self, x, deterministic=False):
        q = self.dense(x).reshape(2, 5, 3, 4)
        options = {"dropout_rng": self.rngs(), "dropout_rate": RATE}
        y = nnx.dot_product_attention(q, q, q, deterministic=deterministic, **options)
        return y.reshape(2, 5, 12)


def made() -> Model:
    model = Model(nnx.Rngs(0))
    model.train(decode=False)
    return model


def drawn_by(function, *args, **kwargs) -> set[str]:
    return {draw.computed_by for draw in flaxnoise.dropouts(function, *args, **kwargs)}


def test_a_model_is_changed_in_place():
    model, reports = made(), []
    layers = [model.kept, model.layers[1], model.louder, model.linen]
    states = nnx.to_pure_dict(nnx.state(model))
    assert drawn_by(model, X) == {"flax"}
    assert flaxnoise.nnx.replace_dropout(model, strict=True, report=reports.append) is model
    assert drawn_by(model, X) == {"flaxnoise"}
    report = reports[0]
    assert not report.left
    places = ["Kept at kept", "Dropout at again", "Louder at louder", "ToNNX at linen"]
    places += [f"attention_fn of MultiHeadAttention at {name}" for name in ("first", "second")]
    assert sorted(report.replaced) == sorted(places)
    assert [model.kept, model.layers[1], model.louder, model.linen] == layers
    assert model.again is model.layers[1]
    assert model.kept.note == "kept"
    jax.tree.map(
        lambda a, b: (
            np.testing.assert_array_equal(jax.random.key_data(a), jax.random.key_data(b))
            if jnp.issubdtype(a.dtype, jax.dtypes.prng_key)
            else np.testing.assert_array_equal(a, b)
        ),
        nnx.to_pure_dict(nnx.state(model)),
        states,
    )
    for layer in (model.kept, model.again, model.louder):
        assert isinstance(layer, nnx.Dropout)
    assert isinstance(model.kept, Kept)


def test_the_layers_drop_as_our_function_does():
    for cls, gain in ((nnx.Dropout, 1), (Kept, 1), (Louder, 10)):
        layer = flaxnoise.nnx.replace_dropout(cls(RATE, rngs=nnx.Rngs(0)))
        expected = flaxnoise.dropout(nnx.Rngs(0).dropout.fork()(), X, RATE)
        np.testing.assert_array_equal(layer(X), gain * expected)


def test_training_and_evaluation():
    model = flaxnoise.nnx.replace_dropout(made())
    loss = nnx.jit(nnx.value_and_grad(lambda model, x: jnp.mean(model(x) ** 2)))
    first, gradients = loss(model, X)
    assert first != loss(model, X)[0]
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    theirs = made()
    theirs.eval()
    model.eval()
    np.testing.assert_array_equal(model(X, True), theirs(X, True))
    model.train(decode=False)
    model.set_attributes(nnx.Dropout, deterministic=True)
    model.set_attributes(nnx.MultiHeadAttention, deterministic=True)
    np.testing.assert_array_equal(model(X, True), theirs(X, True))


@pytest.mark.parametrize("model", [Model, FunctionalAttention])
def test_a_function_computes_all_dropout_while_it_runs(model):
    def step(model, x):
        return model(x)

    model = model(nnx.Rngs(0))
    model.train(**({"decode": False} if isinstance(model, Model) else {}))
    ours = flaxnoise.nnx.replace_dropout(step, strict=True)
    assert drawn_by(step, model, X) == {"flax"}
    assert drawn_by(ours, model, X) == {"flaxnoise"}
    assert drawn_by(nnx.jit(ours), model, X) == {"flaxnoise"}
    assert drawn_by(nnx.jit(step), model, X) == {"flax"}
    copies = [nnx.clone(model) for _ in range(3)]
    theirs = step(copies[0], X)
    assert not np.array_equal(ours(copies[1], X), theirs)
    np.testing.assert_array_equal(step(copies[2], X), theirs)


def test_it_decorates_a_call():
    class Attention(FunctionalAttention):
        __call__ = flaxnoise.nnx.replace_dropout(FunctionalAttention.__call__)

    model = Attention(nnx.Rngs(0))
    assert drawn_by(lambda model, x: model(x), model, X) == {"flaxnoise"}
    plain = FunctionalAttention(nnx.Rngs(0))
    np.testing.assert_array_equal(model(X, deterministic=True), plain(X, True))


def test_what_cannot_be_replaced_is_named():
    def attention_fn(query, key, value, **_):
        return query

    class DropPath(nnx.Module):
        def __call__(self, x):
            return x

    rngs = nnx.Rngs(0)
    attention = nnx.MultiHeadAttention(
        3, 12, dropout_rate=RATE, attention_fn=attention_fn, decode=False, rngs=rngs
    )
    model = nnx.Sequential(
        OwnDropout(RATE, rngs=rngs), attention, DropPath(), Kept(RATE, rngs=rngs)
    )
    reports = []
    with pytest.raises(ValueError, match="strict=True leaves nothing, got OwnDropout at layers/0"):
        flaxnoise.nnx.replace_dropout(model, strict=True, report=reports.append)
    (report,) = reports
    assert report.left == (
        "OwnDropout at layers/0",
        "DropPath at layers/2",
    )
    assert type(model.layers[0]) is OwnDropout
    assert attention.attention_fn is attention_fn


@every("pickler", [pickle, cloudpickle])
@every("replace", [False, True])
def test_models_can_be_pickled(pickler, replace: bool):
    model = made()
    if replace:
        flaxnoise.nnx.replace_dropout(model)
    again = pickler.loads(pickler.dumps(model))
    graph, state = pickler.loads(pickler.dumps(nnx.split(model)))
    y = model(X)
    np.testing.assert_array_equal(again(X), y)
    np.testing.assert_array_equal(nnx.merge(graph, state)(X), y)
