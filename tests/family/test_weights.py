"""WeightNoise calls the layer with a noisy parameter; gradients pass through the noise."""

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import flaxnoise
import flaxnoise.linen
import flaxnoise.nnx
from cases import KEY, array
from every import every

X = array(5, 33)
IDS = jnp.array([[1, 2, 3, 1]])
NOISES = {
    "Dropout": (flaxnoise.dropout, 0.3),
    "GaussianNoise": (flaxnoise.gaussian_noise, 0.3),
    "LaplaceNoise": (flaxnoise.laplace_noise, 0.3),
}


def wrapped_linen(layer, noise, x, parameter="kernel"):
    """Returns a wrapped layer and its variables."""
    wrapper = flaxnoise.linen.WeightNoise(layer, noise, parameter)
    return wrapper, wrapper.init(KEY, x, deterministic=True)


@every("name", NOISES)
def test_linen_dense_and_conv_run_with_a_noisy_kernel(name: str):
    function, value = NOISES[name]
    for layer, x in (
        (flax.linen.Dense(7), X),
        (flax.linen.Conv(3, (3, 3)), array(2, 5, 7, 4)),
    ):
        wrapper, variables = wrapped_linen(layer, getattr(flaxnoise.linen, name)(value), x)
        own = variables["params"]["layer"]
        noisy = {**own, "kernel": function(KEY, own["kernel"], value)}
        expected = layer.apply({"params": noisy}, x)
        y = wrapper.apply(variables, x, deterministic=False, key=KEY)
        np.testing.assert_array_equal(y, expected)
        calm = wrapper.apply(variables, x, deterministic=True)
        np.testing.assert_array_equal(calm, layer.apply({"params": own}, x))
        streamed = wrapper.apply(variables, x, deterministic=False, rngs={"dropout": KEY})
        assert not np.array_equal(streamed, calm)


@every("name", NOISES)
def test_nnx_linear_and_conv_run_with_a_noisy_kernel(name: str):
    function, value = NOISES[name]
    for layer, x in (
        (nnx.Linear(33, 7, rngs=nnx.Rngs(0)), X),
        (nnx.Conv(4, 3, (3, 3), rngs=nnx.Rngs(0)), array(2, 5, 7, 4)),
    ):
        noise = getattr(flaxnoise.nnx, name)(value, rngs=nnx.Rngs(1))
        wrapper = flaxnoise.nnx.WeightNoise(layer, noise)
        clean = layer.kernel[...]
        y = wrapper(x, key=KEY)
        np.testing.assert_array_equal(layer.kernel[...], clean)
        layer.kernel[...] = function(KEY, clean, value)
        np.testing.assert_array_equal(y, layer(x))
        layer.kernel[...] = clean
        assert not np.array_equal(wrapper(x), wrapper(x))
        wrapper.eval()
        np.testing.assert_array_equal(wrapper(x), layer(x))


def test_gradients_go_through_the_noise():
    wrapper, variables = wrapped_linen(flax.linen.Dense(7), flaxnoise.linen.Dropout(0.3), X)

    def loss(variables):
        return wrapper.apply(variables, X, deterministic=False, key=KEY).sum()

    gradient = jax.jit(jax.grad(loss))(variables)["params"]["layer"]["kernel"]
    keep = flaxnoise.random.keep_mask(KEY, (33, 7), 0.3)
    np.testing.assert_array_equal(gradient == 0, ~keep)
    layer = flaxnoise.nnx.WeightNoise(
        nnx.Linear(33, 7, rngs=nnx.Rngs(0)), flaxnoise.nnx.Dropout(0.3, rngs=nnx.Rngs(0))
    )
    gradients = nnx.jit(nnx.grad(lambda layer: layer(X, key=KEY).sum()))(layer)
    np.testing.assert_array_equal(gradients.layer.kernel[...] == 0, ~keep)


def test_word_dropout_of_an_embedding():
    noise = flaxnoise.linen.WordDropout(0.5)
    wrapper, variables = wrapped_linen(flax.linen.Embed(5, 3), noise, IDS, "embedding")
    y = wrapper.apply(variables, IDS, deterministic=False, key=KEY)
    embedding = variables["params"]["layer"]["embedding"]
    np.testing.assert_array_equal(y, flaxnoise.word_dropout(KEY, embedding, 0.5)[IDS])
    layer = nnx.Embed(5, 3, rngs=nnx.Rngs(0))
    noise = flaxnoise.nnx.WordDropout(0.5, rngs=nnx.Rngs(0))
    y = flaxnoise.nnx.WeightNoise(layer, noise, "embedding")(IDS, key=KEY)
    expected = flaxnoise.word_dropout(KEY, layer.embedding[...], 0.5)[IDS]
    np.testing.assert_array_equal(y, expected)


def test_rate_may_be_given_at_call_time_and_traced():
    layer = flaxnoise.nnx.WeightNoise(nnx.Linear(33, 7, rngs=nnx.Rngs(0)), flaxnoise.nnx.Dropout())
    call = nnx.jit(lambda layer, rate: layer(X, key=KEY, rate=rate))
    np.testing.assert_array_equal(call(layer, 1.0), jnp.broadcast_to(layer.layer.bias[...], (5, 7)))
    wrapper, variables = wrapped_linen(flax.linen.Dense(7), flaxnoise.linen.Dropout(), X)
    call = jax.jit(lambda rate: wrapper.apply(variables, X, False, key=KEY, rate=rate))
    np.testing.assert_array_equal(call(1.0), jnp.zeros((5, 7)))


def test_missing_parameter_is_named():
    wrapper, variables = wrapped_linen(
        flax.linen.Dense(7), flaxnoise.linen.Dropout(0.3), X, "scale"
    )
    with pytest.raises(ValueError, match=r"one of the layer's, \['bias', 'kernel'\], got 'scale'"):
        wrapper.apply(variables, X, deterministic=False, key=KEY)
    with pytest.raises(ValueError, match=r"WeightNoise: parameter must be one of the layer's"):
        flaxnoise.nnx.WeightNoise(
            nnx.Linear(3, 3, rngs=nnx.Rngs(0)), flaxnoise.nnx.Dropout(0.3), "scale"
        )


def test_partitioned_parameters_get_noise_in_their_boxes():
    initialiser = flax.linen.with_partitioning(flax.linen.initializers.ones, (None, "model"))
    layers = [flax.linen.Dense(5), flax.linen.Dense(5, kernel_init=initialiser)]
    results = []
    for layer in layers:
        dense = flaxnoise.linen.WeightNoise(layer, flaxnoise.linen.Dropout(0.5))
        variables = dense.init(KEY, X, deterministic=True)
        ones = jax.tree.map(jnp.ones_like, variables)
        results.append(dense.apply(ones, X, deterministic=False, rngs={"dropout": KEY}))
    np.testing.assert_array_equal(*results)
