"""Constructor arguments of layers: traced numbers, and wrong values."""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import flaxnoise
import flaxnoise.linen
import flaxnoise.nnx
from every import every
from layer_table import APIS, Api, Row, every_api, every_row

KEY = jax.random.key(5)
X = jnp.linspace(-1, 1, 24).reshape(4, 6)
RATES = jnp.array([0.1, 0.4, 0.7])
# Coefficients of a traced number are computed in another program: a rounding of float32 each way.
ROUNDINGS = 2 * 2.0**-23


def text_of(call: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
    with pytest.raises((TypeError, ValueError)) as raised:
        call(*args, **kwargs)
    return f"{raised.type.__name__}: {raised.value}"


@every_row
def test_nnx_layers_made_under_jit_and_vmap_hold_their_traced_numbers(row: Row):
    layer = getattr(flaxnoise.nnx, row.name)
    fields = {name: jnp.float32(value) for name, value in row.fields.items()}
    made = nnx.jit(lambda fields: layer(**fields, rngs=nnx.Rngs(0)))(fields)
    expected = layer(**row.fields, rngs=nnx.Rngs(0))(X)
    np.testing.assert_allclose(made(X), expected, rtol=ROUNDINGS)
    name, *others = row.fields
    others = {other: row.fields[other] for other in others}
    stacked = nnx.vmap(lambda rate, key: layer(**{name: rate}, **others, rngs=key))(
        RATES, jax.random.split(KEY, 3)
    )
    y = nnx.vmap(lambda layer: layer(X))(stacked)
    for i, rate in enumerate(RATES):
        key = jax.random.split(KEY, 3)[i]
        one = layer(**{name: rate}, **others, rngs=key)(X)
        np.testing.assert_allclose(y[i], one, rtol=ROUNDINGS)


def test_a_model_made_inside_jit_trains_outside_of_it():
    def make(rate):
        rngs = nnx.Rngs(0)
        return nnx.Sequential(
            nnx.Linear(6, 6, rngs=rngs),
            flaxnoise.nnx.Dropout(rate, rngs=rngs),
            flaxnoise.nnx.GradientScale(1 - rate),
            flaxnoise.nnx.GradientReversal(rate),
            flaxnoise.nnx.ActivityRegularization(l2=rate),
        )

    def loss(model):
        return jnp.sum(model(X) ** 2)

    traced, plain = nnx.jit(make)(0.3), make(0.3)
    got, expected = nnx.grad(loss)(traced), nnx.grad(loss)(plain)
    # Sums of 6 products, and of 4 rows in a gradient, each in the order of its own program.
    close = functools.partial(np.testing.assert_allclose, rtol=(6 + 4) * 2.0**-23)
    jax.tree.map(close, nnx.to_pure_dict(got), nnx.to_pure_dict(expected))
    traced.layers[1].rate = jnp.float32(0.0)
    np.testing.assert_array_equal(traced.layers[1](X), X)


def test_plain_numbers_stay_static():
    layer = flaxnoise.nnx.Dropout(0.3, rngs=nnx.Rngs(0))
    assert set(nnx.to_pure_dict(nnx.state(layer))) == {"rngs"}
    assert set(nnx.to_pure_dict(nnx.state(flaxnoise.nnx.GradientScale(0.3)))) == set()
    as_array = flaxnoise.nnx.Dropout(jnp.float32(0.3), rngs=nnx.Rngs(0))
    assert set(nnx.to_pure_dict(nnx.state(as_array))) == {"rate", "rngs"}


WRONG = [
    ("Dropout", {"rate": 1.1}),
    ("Dropout", {"rate": "0.3"}),
    ("Dropout", {"rate": np.array([0.5, -0.1, 0.2])}),
    ("Dropout", {"rate": 0.3, "broadcast_dims": (1, 1)}),
    ("Dropout", {"rate": 0.3, "broadcast_dims": 0.5}),
    ("GaussianNoise", {"stddev": -1}),
    ("GaussianDropout", {"rate": 1.0}),
    ("UniformNoise", {"scale": float("nan")}),
    ("SaltAndPepperNoise", {"rate": 0.3, "low": float("inf")}),
    ("DropPath", {"rate": 0.3, "mode": "rows"}),
    ("DropBlock2D", {"rate": 0.3, "block_size": 0}),
    ("DropBlock2D", {"rate": 0.3, "block_size": (3, 3, 3)}),
    ("TokenDropout", {"rate": 0.3, "mask_id": 0.5}),
    ("TokenDropout", {"rate": 0.3, "mask_id": 1, "protected": (0.5,)}),
    ("GradientNoise", {"stddev": -1}),
    ("GradientScale", {"scale": float("nan")}),
    ("GradientReversal", {"scale": "1"}),
    ("ActivityRegularization", {"l2": -1.0}),
]


@every(("name", "fields"), WRONG, ids=lambda value: str(value))
def test_a_mistake_raises_where_the_layer_is_made_with_the_text_of_the_function(name, fields):
    words = "".join(f"_{c}" if c.isupper() else c for c in name).strip("_").lower()
    function = getattr(flaxnoise, words.replace("2_d", "_2d"))
    x = jnp.ones((2, 9, 9, 3), jnp.int32 if name == "TokenDropout" else jnp.float32)
    args = (x,) if words in ("gradient_scale", "gradient_reversal") or "l2" in fields else (KEY, x)
    text = text_of(function, *args, **fields)
    for api in APIS:
        assert text_of(getattr(api.layers, name), **fields) == text


@every_row
def test_numbers_of_the_call_are_checked_in_evaluation_too(row: Row):
    for name in set(row.fields) & {"rate", "stddev", "scale"}:
        for api in APIS:
            evaluate = functools.partial(api.run, row, X, deterministic=True)
            np.testing.assert_array_equal(evaluate(), X)
            assert f"{name} must be" in text_of(evaluate, **{name: -0.1})


@every_api
def test_a_wrong_call_names_the_layer_and_its_arguments(api: Api):
    layers = {
        "Dropout": {"rate": 0.3},
        "StopGradient": {},
        "GradientScale": {"scale": 1.0},
        "ConcreteDropout": {},
    }
    flags = "deterministic, rng, key" if api.name == "linen" else "deterministic, rngs, key"
    for name, fields in layers.items():
        layer = getattr(api.layers, name)(**fields)
        layer = layer.bind({}) if api.name == "linen" else layer
        for args, kwargs in (((X,), {"dropping": 0.5}), ((X, *range(9)), {}), ((), {})):
            text = text_of(layer, *args, **kwargs)
            assert text.startswith(f"TypeError: {name}: ")
            assert "A call takes (inputs, deterministic" in text
    text = text_of(api.layers.Dropout(0.3).__call__, X, dropping=0.5)
    assert text == (
        "TypeError: Dropout: got an unexpected keyword argument 'dropping'. "
        f"A call takes (inputs, {flags}, rate)."
    )


@every_api
@every("rate", [np.float32, np.float64, np.array, jnp.float32])
def test_scalars_of_numpy_and_jax_need_no_stream_at_the_ends(api: Api, rate: Any):
    for value, expected in ((0, X), (1, jnp.zeros_like(X))):
        layer = api.layers.Dropout(rate(value), deterministic=False)
        y = layer.apply({}, X) if api.name == "linen" else layer(X)
        np.testing.assert_array_equal(y, expected)


@every_api
@every_row
def test_weak_types_are_kept_in_training_as_in_evaluation(api: Api, row: Row):
    weak = jnp.where(X > 0, 1.0, 0.5)
    assert jax.typeof(weak).weak_type
    for call in ({"deterministic": True}, {"key": KEY}):
        y = api.run(row, weak, **call)
        assert jax.typeof(y).weak_type
        assert (y + jnp.ones((), jnp.bfloat16)).dtype == jnp.bfloat16


def test_flax_finds_the_layers_as_its_own():
    layer = flaxnoise.nnx.Dropout(0.5, rngs=nnx.Rngs(0))
    model = nnx.Sequential(nnx.Linear(6, 6, rngs=nnx.Rngs(1)), layer)
    assert isinstance(layer, nnx.Dropout)
    model.set_attributes(nnx.Dropout, deterministic=True)
    np.testing.assert_array_equal(model(X), model.layers[0](X))
    noisy = nnx.view(model, only=nnx.Dropout, deterministic=False)(X)
    assert np.any(noisy == 0)
    assert isinstance(flaxnoise.linen.Dropout(0.5), flax.linen.Dropout)
