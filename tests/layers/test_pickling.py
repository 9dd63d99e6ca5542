"""All public layers can be pickled, by pickle and by cloudpickle."""

import inspect
import pickle

import cloudpickle
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import flaxnoise
import flaxnoise.linen
import flaxnoise.nnx
from every import every
from layer_table import ROWS, Api, every_api

KEY = jax.random.key(5)
X = jnp.linspace(-1, 1, 24).reshape(4, 6)
both = every("pickler", [pickle, cloudpickle])


@both
@every("module", [flaxnoise, flaxnoise.linen, flaxnoise.nnx, flaxnoise.random])
def test_public_functions_and_classes_are_themselves_again(pickler, module):
    public = [
        value
        for value in vars(module).values()
        if inspect.isfunction(value) or inspect.isclass(value)
    ]
    assert public
    for value in public:
        assert pickler.loads(pickler.dumps(value)) is value


@both
@every_api
def test_layers_give_the_same_noise_again(pickler, api: Api):
    for row in ROWS:
        layer = api.layer(row)(**row.fields)
        again = pickler.loads(pickler.dumps(layer))
        if api.name == "linen":
            layer, again = layer.bind({}), again.bind({})
        call = {"deterministic": False, "key": KEY}
        np.testing.assert_array_equal(again(X, **call), layer(X, **call))


@both
def test_streams_and_parameters_of_nnx_come_along(pickler):
    layer = flaxnoise.nnx.GaussianNoise(nnx.Param(0.3), rngs=nnx.Rngs(0))
    layer(X)
    again = pickler.loads(pickler.dumps(layer))
    for _ in range(2):
        np.testing.assert_array_equal(again(X), layer(X))
