"""Learned parameters: a Param as an nnx layer's attribute, a linen param passed to the call."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import flaxnoise
import flaxnoise.linen
import flaxnoise.nnx
from every import every
from layer_table import ROWS, Row, every_row

KEY = jax.random.key(5)
X = jax.random.normal(jax.random.key(3), (33, 129))
# Few elements, since a sum over many would round; every noise changes each of them.
CHOSEN = tuple(np.argwhere(~np.asarray(flaxnoise.random.keep_mask(KEY, X.shape, 0.3)))[:6].T)
FEW = jnp.zeros(X.shape).at[CHOSEN].set(1.0)


def of_function(row: Row, params: tuple[float, ...]) -> tuple[jax.Array, ...]:
    """Returns the gradient of the sum of the chosen elements in each parameter."""

    def chosen(*params: jax.Array) -> jax.Array:
        return (row.case.function(KEY, X, *params) * FEW).sum()

    return jax.grad(chosen, argnums=tuple(range(len(params))))(*params)


@every_row
@every("per_channel", [False, True])
def test_a_param_as_attribute_gets_the_gradient_of_the_function(row: Row, per_channel: bool):
    values = {
        name: jnp.full(X.shape[-1], value) if per_channel else value
        for name, value in row.fields.items()
    }
    layer = getattr(flaxnoise.nnx, row.name)(
        **{name: nnx.Param(value) for name, value in values.items()}
    )
    gradients = nnx.grad(lambda layer: (layer(X, key=KEY) * FEW).sum())(layer)
    expected = of_function(row, tuple(values.values()))
    for i, name in enumerate(values):
        gradient = gradients[name][...] if per_channel else gradients[name].get_value()
        assert jnp.any(gradient != 0) == (i in row.case.learned)
        # Twice the ulps, to include those of the sum.
        row.case.assert_equal(gradient, expected[i], abs(X[CHOSEN]).sum(), factors=2)


def test_the_gradient_in_stddev_is_the_noise():
    layer = flaxnoise.nnx.GaussianNoise(nnx.Param(jnp.array(0.1)))
    gradients = nnx.grad(lambda layer: (layer(X, key=KEY) * FEW).sum())(layer)
    noise = flaxnoise.random.normal(KEY, X.shape)[CHOSEN]
    row = next(row for row in ROWS if row.name == "GaussianNoise")
    terms = abs(noise).sum()
    row.case.assert_equal(gradients.stddev[...], noise.sum(), terms, factors=2)


def test_an_nnx_param_is_trained():
    layer = flaxnoise.nnx.GaussianNoise(nnx.Param(jnp.array(0.5)), rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(layer, optax.sgd(0.2), wrt=nnx.Param)

    @nnx.jit
    def step(layer: nnx.Module, optimizer: nnx.Optimizer) -> None:
        gradients = nnx.grad(lambda layer: jnp.mean((layer(X) - X) ** 2))(layer)
        optimizer.update(layer, gradients)

    for _ in range(10):
        step(layer, optimizer)
    # The loss is stddev²·mean(n²), so a step multiplies stddev by 1 − 0.4·mean(n²), which for 4257
    # normals is within 0.6 ± 0.4·6·√(2/4257), 6 standard errors.
    assert 0.5 * 0.548**10 < layer.stddev[...] < 0.5 * 0.652**10
    assert layer.rngs.count[...] == 10


class Learned(nn.Module):
    """The documented pattern: the model owns the parameter and passes it to the call."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        stddev = self.param("stddev", nn.initializers.constant(0.5), ())
        return flaxnoise.linen.GaussianNoise(deterministic=False)(x, stddev=stddev)


def test_a_linen_param_is_trained():
    model = Learned()
    params = model.init(KEY, X)["params"]

    @jax.jit
    def step(params: optax.Params, key: jax.Array) -> optax.Params:
        def loss(params: optax.Params) -> jax.Array:
            return jnp.mean((model.apply({"params": params}, X, rngs={"dropout": key}) - X) ** 2)

        return optax.apply_updates(params, jax.tree.map(lambda g: -0.2 * g, jax.grad(loss)(params)))

    for i in range(10):
        params = step(params, jax.random.fold_in(KEY, i))
    assert 0.5 * 0.548**10 < params["stddev"] < 0.5 * 0.652**10


def test_a_params_value_is_checked_where_it_is_known():
    with pytest.raises(ValueError, match=r"^gaussian_noise: stddev must be finite and ≥ 0, got -1"):
        flaxnoise.nnx.GaussianNoise(nnx.Param(-1.0))(X, key=KEY)


def test_evaluation_gives_a_param_no_gradient():
    layer = flaxnoise.nnx.GaussianNoise(nnx.Param(jnp.array(0.5)), deterministic=True)
    gradients = nnx.grad(lambda layer: layer(X).sum())(layer)
    np.testing.assert_array_equal(gradients.stddev[...], 0)
