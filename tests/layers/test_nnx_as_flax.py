"""Our Dropout behaves like flax.nnx.Dropout: each promise is tested on both."""

import copy
import inspect
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import flaxnoise.nnx
from every import every

KEY = jax.random.key(5)
X = jnp.ones((33, 129))

pytestmark = pytest.mark.parametrize(
    "dropout", [nnx.Dropout, flaxnoise.nnx.Dropout], ids=["flax", "flaxnoise"]
)


def test_constructor_takes_these_arguments(dropout: Any):
    arguments = inspect.signature(dropout.__init__).parameters
    keywords = {"broadcast_dims", "deterministic", "rng_collection", "rngs"}
    assert list(arguments)[:2] == ["self", "rate"]
    assert set(arguments) == {"self", "rate"} | keywords
    assert all(arguments[name].kind is inspect.Parameter.KEYWORD_ONLY for name in keywords)
    layer = dropout(0.5)
    assert (layer.rate, layer.broadcast_dims, layer.deterministic) == (0.5, (), False)
    assert (layer.rng_collection, layer.rngs) == ("dropout", None)


def test_call_takes_these_arguments(dropout: Any):
    arguments = inspect.signature(dropout(0.5)).parameters
    assert list(arguments)[:3] == ["inputs", "deterministic", "rngs"]
    for name in ("deterministic", "rngs"):
        assert arguments[name].default is None
        assert arguments[name].kind is inspect.Parameter.KEYWORD_ONLY
    y = dropout(0.5)(inputs=X, rngs=KEY)
    np.testing.assert_array_equal(y, dropout(0.5)(X, rngs=KEY))


def test_a_layer_equals_itself_alone_and_can_be_hashed(dropout: Any):
    layers = dropout(0.5), dropout(0.5)
    assert layers[0] != layers[1]
    assert len({*layers, layers[0]}) == 2


def test_training_zeroes_a_share_and_scales_the_rest(dropout: Any):
    y = np.asarray(dropout(0.5, rngs=nnx.Rngs(0))(X))
    assert set(np.unique(y)) == {0.0, 2.0}
    # 4257 fair coins: 6σ is 196.
    assert abs((y == 0).sum() - y.size / 2) < 196


@every("attribute", [True, False, None])
@every("call", [True, False, None])
def test_deterministic_of_the_call_wins_over_the_attribute(
    dropout: Any, attribute: bool | None, call: bool | None
):
    layer = dropout(0.5, deterministic=attribute, rngs=nnx.Rngs(0))
    deterministic = attribute if call is None else call
    if deterministic is None:
        with pytest.raises(ValueError, match="deterministic"):
            layer(X, deterministic=call)
    else:
        assert (layer(X, deterministic=call) is X) == deterministic


def test_train_eval_and_set_attributes_reach_it(dropout: Any):
    model = nnx.Sequential(nnx.Linear(129, 7, rngs=nnx.Rngs(0)), dropout(0.5, rngs=nnx.Rngs(0)))
    layer = model.layers[1]
    model.eval()
    assert layer(X) is X
    model.train()
    assert layer(X) is not X
    model.set_attributes(dropout, deterministic=True)
    assert layer(X) is X
    model.set_attributes(deterministic=False, rate=1.0)
    np.testing.assert_array_equal(layer(X), 0 * X)


def test_a_view_is_deterministic_and_leaves_the_original(dropout: Any):
    layer = dropout(0.5, rngs=nnx.Rngs(0))
    view = nnx.view(layer, deterministic=True)
    assert (view.deterministic, layer.deterministic) == (True, False)
    assert view(X) is X
    assert nnx.with_attributes(layer, deterministic=True)(X) is X
    assert "Dropout:\n  deterministic: bool | None = None\n    if" in nnx.view_info(layer)


@every(
    "make",
    [lambda: nnx.Rngs(dropout=5), lambda: nnx.Rngs(5), lambda: nnx.Rngs(5).default],
    ids=["named", "default", "stream"],
)
def test_the_layer_forks_its_stream(dropout: Any, make: Callable[[], Any]):
    rngs = make()
    layer = dropout(0.5, rngs=rngs)
    parent = rngs if isinstance(rngs, nnx.RngStream) else rngs["dropout"]
    forked = make()
    forked = (forked if isinstance(forked, nnx.RngStream) else forked["dropout"]).fork()
    assert (parent.count[...], layer.rngs.count[...]) == (1, 0)
    assert layer.rngs.key[...] == forked.key[...]
    assert layer.rngs.tag == forked.tag
    first, second = layer(X), layer(X)
    assert (parent.count[...], layer.rngs.count[...]) == (1, 2)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, dropout(0.5)(X, rngs=forked()))
    np.testing.assert_array_equal(second, dropout(0.5)(X, rngs=forked()))


def test_rngs_of_the_call_win_over_the_attribute(dropout: Any):
    layer = dropout(0.5, rngs=nnx.Rngs(0))
    y = dropout(0.5)(X, rngs=nnx.Rngs(5).dropout())
    for rngs in (nnx.Rngs(5), nnx.Rngs(dropout=5), nnx.Rngs(5).dropout, nnx.Rngs(5).dropout()):
        np.testing.assert_array_equal(layer(X, rngs=rngs), y)
    raw = jax.random.key_data(nnx.Rngs(5).dropout())
    np.testing.assert_array_equal(layer(X, rngs=raw), y)
    assert layer.rngs.count[...] == 0


def test_rng_collection_names_the_stream(dropout: Any):
    rngs = nnx.Rngs(dropout=5, noise=6)
    layer = dropout(0.5, rng_collection="noise", rngs=rngs)
    assert (rngs.dropout.count[...], rngs.noise.count[...]) == (0, 1)
    layer(X, rngs=rngs)
    assert (rngs.dropout.count[...], rngs.noise.count[...]) == (0, 2)
    with pytest.raises(KeyError, match="No RngStream named 'noise'"):
        layer(X, rngs=nnx.Rngs(dropout=5))
    with pytest.raises(KeyError, match="No RngStream named 'noise'"):
        dropout(0.5, rng_collection="noise", rngs=nnx.Rngs(dropout=5))


def test_missing_and_wrong_rngs_raise(dropout: Any):
    with pytest.raises(ValueError, match="rngs"):
        dropout(0.5)(X)
    with pytest.raises(TypeError, match="rngs must be"):
        dropout(0.5)(X, rngs=5)
    with pytest.raises(TypeError, match="rngs must be"):
        dropout(0.5, rngs=5)


@every("dims", [(0,), (-1,), (0, 1), [0]])
def test_the_mask_is_shared_along_broadcast_dims(dropout: Any, dims: Any):
    y = np.asarray(dropout(0.5, broadcast_dims=dims, rngs=nnx.Rngs(0))(X))
    for dim in range(2):
        shared = (y == y.take([0], axis=dim)).all()
        assert shared == (dim in dims or dim - 2 in dims)


@every(("rate", "expected"), [(0.0, X), (1.0, jnp.zeros_like(X))])
def test_the_ends_need_no_stream(dropout: Any, rate: float, expected: jax.Array):
    for layer in (dropout(rate), dropout(rate, rngs=nnx.Rngs(0))):
        np.testing.assert_array_equal(layer(X), expected)
    gradient = jax.grad(lambda x: dropout(rate)(x).sum())(X)
    np.testing.assert_array_equal(gradient, expected)


def test_sequences_and_captures_take_it(dropout: Any):
    model = nnx.Sequential(nnx.Linear(129, 7, rngs=nnx.Rngs(0)), dropout(0.5))
    y = model(X, rngs=nnx.Rngs(5))
    np.testing.assert_array_equal(y, model.layers[1](model.layers[0](X), rngs=nnx.Rngs(5)))
    layer = dropout(0.5, rngs=nnx.Rngs(0))
    y, captured = nnx.capture(layer, nnx.Intermediate, method_outputs=nnx.Intermediate)(X)
    np.testing.assert_array_equal(captured["__call__"].get_value()[0], y)


def test_copies_continue_with_the_same_noise(dropout: Any):
    layer = dropout(0.5, rngs=nnx.Rngs(0))
    layer(X)
    copies = nnx.clone(layer), copy.deepcopy(layer), nnx.merge(*nnx.split(nnx.clone(layer)))
    y = layer(X)
    for each in copies:
        np.testing.assert_array_equal(each(X), y)


def test_a_changed_rate_leaves_the_tree_of_the_state(dropout: Any):
    layers = [dropout(rate, rngs=nnx.Rngs(0)) for rate in (0.0, 0.5)]
    chex.assert_trees_all_equal(*(nnx.state(layer) for layer in layers))
    assert set(nnx.to_flat_state(nnx.state(layers[0])).paths) == {
        ("rngs", "key"),
        ("rngs", "count"),
    }
