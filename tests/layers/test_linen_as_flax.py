"""Our Dropout behaves like flax.linen.Dropout: each promise is tested on both."""

import inspect
from typing import Any

import flax.errors
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flaxnoise.linen
from every import every

KEY = jax.random.key(5)
RNGS = {"dropout": KEY}
X = jnp.ones((33, 129))

pytestmark = pytest.mark.parametrize(
    "dropout", [nn.Dropout, flaxnoise.linen.Dropout], ids=["flax", "flaxnoise"]
)


def train(layer: nn.Module, x: jax.Array = X, rngs: Any = RNGS, **call: Any) -> jax.Array:
    return layer.apply({}, x, rngs=rngs, **call)


def test_constructor_takes_the_arguments_in_this_order(dropout: Any):
    arguments = list(inspect.signature(dropout).parameters)
    assert arguments[:4] == ["rate", "broadcast_dims", "deterministic", "rng_collection"]
    layer = dropout(0.5, (0,), True, "noise")
    assert (layer.rate, layer.broadcast_dims) == (0.5, (0,))
    assert (layer.deterministic, layer.rng_collection) == (True, "noise")
    layer = dropout(rate=0.5)
    assert (layer.broadcast_dims, layer.deterministic) == ((), None)
    assert layer.rng_collection == "dropout"


def test_call_takes_the_arguments_in_this_order(dropout: Any):
    arguments = inspect.signature(dropout.__call__).parameters
    assert list(arguments)[:4] == ["self", "inputs", "deterministic", "rng"]
    assert arguments["deterministic"].default is arguments["rng"].default is None
    y = dropout(0.5).apply({}, X, False, KEY)
    np.testing.assert_array_equal(y, dropout(0.5).apply({}, inputs=X, deterministic=False, rng=KEY))


def test_layers_of_equal_fields_are_equal(dropout: Any):
    assert dropout(0.5, (0,)) == dropout(0.5, (0,)) != dropout(0.4, (0,))
    assert hash(dropout(0.5)) == hash(dropout(0.5))


def test_training_zeroes_a_share_and_scales_the_rest(dropout: Any):
    y = np.asarray(train(dropout(0.5, deterministic=False)))
    assert set(np.unique(y)) == {0.0, 2.0}
    # 4257 fair coins: 6σ is 196.
    assert abs((y == 0).sum() - y.size / 2) < 196


def test_gradient_is_the_mask_times_the_scale(dropout: Any):
    layer = dropout(0.5, deterministic=False)
    gradient = jax.grad(lambda x: train(layer, x).sum())(X)
    np.testing.assert_array_equal(gradient, train(layer))


@every(("field", "call"), [(True, None), (None, True)])
def test_deterministic_from_either_place_returns_the_inputs(dropout: Any, field: Any, call: Any):
    assert train(dropout(0.5, deterministic=field), rngs=None, deterministic=call) is X


@every("field", [True, False])
@every("call", [True, False])
def test_deterministic_in_both_places_raises(dropout: Any, field: bool, call: bool):
    with pytest.raises(ValueError, match='"deterministic" was passed to the constructor and at'):
        train(dropout(0.5, deterministic=field), deterministic=call)


@every("rate", [0.0, 0.5])
def test_deterministic_in_neither_place_raises(dropout: Any, rate: float):
    with pytest.raises(ValueError, match='"deterministic" must be passed to the constructor or at'):
        train(dropout(rate))


def test_a_missing_stream_raises_flaxs_error(dropout: Any):
    for rngs in (None, {"noise": KEY}):
        with pytest.raises(flax.errors.InvalidRngError, match='needs PRNG for "dropout"'):
            train(dropout(0.5, deterministic=False), rngs=rngs)


def test_the_stream_of_the_parameters_is_the_fallback(dropout: Any):
    layer = dropout(0.5, deterministic=False)
    y = train(layer, rngs={"params": KEY})
    np.testing.assert_array_equal(y, train(layer))
    np.testing.assert_array_equal(layer.init_with_output(KEY, X)[0], y)


def test_there_are_no_variables(dropout: Any):
    assert dropout(0.5, deterministic=False).init(KEY, X) == {}


def test_rng_collection_names_the_stream(dropout: Any):
    layer = dropout(0.5, deterministic=False, rng_collection="noise")
    y = train(layer, rngs={"noise": KEY, "dropout": jax.random.key(6)})
    np.testing.assert_array_equal(y, train(dropout(0.5, deterministic=False)))


def test_rng_needs_no_stream_and_wins_over_it(dropout: Any):
    layer, other = dropout(0.5, deterministic=False), jax.random.key(6)
    y = train(layer, rngs=None, rng=other)
    np.testing.assert_array_equal(train(layer, rng=other), y)
    assert not np.array_equal(train(layer), y)


@every("dims", [(0,), (-1,), (0, 1), [0]])
def test_the_mask_is_shared_along_broadcast_dims(dropout: Any, dims: Any):
    y = np.asarray(train(dropout(0.5, broadcast_dims=dims, deterministic=False)))
    for dim in range(2):
        shared = (y == y.take([0], axis=dim)).all()
        assert shared == (dim in dims or dim - 2 in dims)


@every(("rate", "expected"), [(0.0, X), (1.0, jnp.zeros_like(X))])
def test_the_ends_need_no_stream(dropout: Any, rate: float, expected: jax.Array):
    layer = dropout(rate, deterministic=False)
    for rngs in (None, {"noise": KEY}, RNGS):
        np.testing.assert_array_equal(train(layer, rngs=rngs), expected)
    gradient = jax.grad(lambda x: train(layer, x, rngs=None).sum())(X)
    np.testing.assert_array_equal(gradient, expected)


class Twice(nn.Module):
    dropout: Any
    same_layer: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        first = self.dropout(0.5, deterministic=False)
        second = first if self.same_layer else self.dropout(0.5, deterministic=False)
        return first(x), second(x)


@every("same_layer", [True, False])
def test_every_call_in_a_model_has_its_own_noise_that_repeats_with_the_rngs(
    dropout: Any, same_layer: bool
):
    model = Twice(dropout, same_layer)
    first, second = train(model)
    assert not np.array_equal(first, second)
    for y, again in zip((first, second), train(model), strict=True):
        np.testing.assert_array_equal(y, again)


def test_intermediates_are_captured_once_under_the_usual_name(dropout: Any):
    model = Twice(dropout, same_layer=False)
    _, state = model.apply({}, X, rngs=RNGS, capture_intermediates=True)
    assert set(state["intermediates"]) == {"Dropout_0", "Dropout_1", "__call__"}
    assert len(state["intermediates"]["Dropout_0"]["__call__"]) == 1


def test_a_sequence_takes_it(dropout: Any):
    model = nn.Sequential([nn.Dense(7), dropout(0.5, deterministic=False), nn.relu])
    y, variables = model.init_with_output({"params": KEY, "dropout": KEY}, X)
    assert y.shape == (33, 7)
    assert set(variables["params"]) == {"layers_0"}
