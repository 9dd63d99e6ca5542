"""New layers from a function take few lines in each API, and users may subclass layers."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import flaxnoise
import flaxnoise.linen.base
import flaxnoise.nnx.base
from flaxnoise.functional.certain import same_for_every_key

KEY = jax.random.key(5)
X = jax.random.normal(jax.random.key(3), (33, 129))


@same_for_every_key(stddev=(0,))
def shifted(key: jax.Array, x: jax.Array, stddev: Any, share: Any, *, steps: int = 1) -> jax.Array:
    """A function with arguments that ours do not have."""
    return flaxnoise.gaussian_noise(key, x, stddev) + share * steps


class NnxShifted(flaxnoise.nnx.base.Noise):
    stddev: Any = None
    share: Any = None
    steps: int = 1
    _function = staticmethod(shifted)


class Share(nn.Module):
    share: Any = None


class LinenShifted(flaxnoise.linen.base.Noise, Share, flaxnoise.linen.base.Stddev):
    steps: int = 1
    _function = staticmethod(shifted)


def test_a_new_layer_is_its_fields_and_a_function():
    y = shifted(KEY, X, 0.3, 2.0, steps=3)
    np.testing.assert_array_equal(NnxShifted(0.3, 2.0, steps=3)(X, key=KEY), y)
    np.testing.assert_array_equal(NnxShifted(steps=3)(X, key=KEY, stddev=0.3, share=2.0), y)
    linen = LinenShifted(0.3, 2.0, deterministic=False, steps=3)
    np.testing.assert_array_equal(linen.apply({}, X, key=KEY), y)
    np.testing.assert_array_equal(linen.apply({}, X, key=KEY, share=2.0, stddev=None), y)
    np.testing.assert_array_equal(NnxShifted(0, 2.0)(X), X + 2.0)
    for layer in (NnxShifted(0.3, 2.0), linen.bind({})):
        with pytest.raises(TypeError, match="unexpected keyword argument 'steps'"):
            layer(X, key=KEY, steps=3)


class NnxUsers(flaxnoise.nnx.Dropout):
    units: int  # pyright: ignore[reportGeneralTypeIssues]  # nnx makes no __init__ of fields

    def __init__(self, units: int, *, rngs: nnx.Rngs):
        super().__init__(0.3, rngs=rngs)
        self.units = units

    def __call__(self, inputs: jax.Array) -> jax.Array:  # pyright: ignore[reportIncompatibleMethodOverride]
        return super().__call__(inputs)[:, : self.units]


class LinenUsers(flaxnoise.linen.Dropout):
    units: int = 7

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:  # pyright: ignore[reportIncompatibleMethodOverride]
        return super().__call__(nn.Dense(self.units)(inputs))


def test_users_may_derive_classes():
    layer = NnxUsers(7, rngs=nnx.Rngs(0))
    y = flaxnoise.dropout(nnx.Rngs(0).dropout.fork()(), X, 0.3)
    np.testing.assert_array_equal(layer(X), y[:, :7])
    layer.eval()
    np.testing.assert_array_equal(layer(X), X[:, :7])
    model = LinenUsers(0.3, deterministic=False)
    y, variables = model.init_with_output({"params": KEY, "dropout": KEY}, X)
    assert y.shape == (33, 7)
    assert jnp.any(y == 0)
    assert set(variables["params"]) == {"Dense_0"}
