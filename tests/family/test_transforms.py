"""per_example (a batch of keys) and mc_apply (Monte-Carlo passes)."""

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import flaxnoise
import flaxnoise.linen
import flaxnoise.nnx
from cases import CASES, KEY, Case, array
from closeness import FLOAT32_ULP, assert_same_bits, wide
from every import every

KEYS = jax.random.split(KEY, 4)


@every("case", CASES, ids=lambda case: case.name)
def test_a_batch_of_keys_is_vmap_over_them(case: Case):
    xs = array(4, 33)
    y = flaxnoise.per_example(case.function)(KEYS, xs, *case.params)
    mapped = jax.vmap(lambda key, x: case(key, x))(KEYS, xs)
    assert_same_bits(y, mapped)


def test_batches_of_any_rank_raw_keys_and_keywords():
    keys, x = KEYS.reshape(2, 2), array(2, 2, 5, 33)
    call = flaxnoise.per_example(flaxnoise.dropout)
    y = call(keys, x, 0.3, broadcast_dims=0)
    for i in np.ndindex(2, 2):
        assert_same_bits(y[i], flaxnoise.dropout(keys[i], x[i], 0.3, broadcast_dims=0))
    assert_same_bits(jax.jit(call)(keys, x, 0.3), call(jax.random.key_data(keys), x, 0.3))
    assert_same_bits(call(KEY, x, 0.3), flaxnoise.dropout(KEY, x, 0.3))


def test_layers_take_a_key_for_each_example():
    x = array(4, 33)
    expected = flaxnoise.per_example(flaxnoise.dropout)(KEYS, x, 0.3)
    layer = flaxnoise.nnx.Dropout(0.3, rngs=nnx.Rngs(0))
    before = nnx.state(layer, nnx.RngState)
    y = flaxnoise.per_example(lambda key, x: layer(x, key=key))(KEYS, x)
    assert_same_bits(y, expected)
    assert jax.tree.all(jax.tree.map(lambda a, b: a == b, before, nnx.state(layer, nnx.RngState)))
    layer = flaxnoise.linen.Dropout(0.3, deterministic=False)
    y = flaxnoise.per_example(lambda key, x: layer.apply({}, x, key=key))(KEYS, x)
    assert_same_bits(y, expected)


def test_noise_of_an_example_does_not_depend_on_its_batch():
    x = array(4, 33)
    call = flaxnoise.per_example(flaxnoise.gaussian_noise)
    assert_same_bits(call(KEYS, x, 0.3)[2:3], call(KEYS[2:3], x[2:3], 0.3))


def test_mistakes_of_batches_are_named():
    call = flaxnoise.per_example(flaxnoise.dropout)
    with pytest.raises(ValueError, match=r"per_example\(dropout\): keys must have the leading dim"):
        call(KEYS, array(3, 33), 0.3)
    with pytest.raises(TypeError, match=r"key must be a jax.random key, got 7"):
        call(7, array(3, 33), 0.3)
    with pytest.raises(ValueError, match=r"dropout: rate must be in \[0, 1\], got 2.0"):
        call(KEYS, array(4, 33), 2.0)


def test_passes_are_those_of_the_keys_and_their_statistics():
    x = array(5, 33)
    f = lambda key, x, rate: {"y": flaxnoise.dropout(key, x, rate), "z": x}  # noqa: E731
    result = jax.jit(lambda x: flaxnoise.mc_apply(f, KEY, x, 0.3, samples=7))(x)
    loop = np.stack([f(key, x, 0.3)["y"] for key in jax.random.split(KEY, 7)])
    np.testing.assert_array_equal(result.samples["y"], loop)
    loop, rounding = wide(loop), FLOAT32_ULP / 2
    # A mean of 7 values takes 6 additions, the reciprocal of 7 and a product: 8 roundings.
    error = abs(result.mean["y"] - loop.mean(0))
    assert np.all(error <= 8 * rounding * abs(loop).mean(0))
    # The mean of squared deviations takes 8 again, 3 for each of them, and twice the 8 of the mean.
    error = abs(result.variance["y"] - loop.var(0))
    assert np.all(error <= (8 + 3 + 2 * 8) * rounding * (loop**2).mean(0))
    # The mean of equal numbers may be one ulp off.
    assert (result.variance["z"] <= (2.0**-23 * abs(x)) ** 2).all()


def test_entropy_and_mutual_information_of_known_votes():
    """If models are certain and disagree, all uncertainty is mutual; if all are unsure, none is."""
    votes = jnp.array([[[1.0, 0.0], [0.5, 0.5]], [[0.0, 1.0], [0.5, 0.5]]])
    result = flaxnoise.MonteCarlo(votes, votes.mean(0), votes.var(0))
    # The terms are exact halves of log 2, whose logarithm is within two ulp, 2^-24 each.
    ulps = {"rtol": 0, "atol": 2 * 2.0**-24}
    np.testing.assert_allclose(result.entropy(), np.log([2, 2]), **ulps)
    np.testing.assert_allclose(result.mutual_information(), [np.log(2), 0], **ulps)


def test_passes_through_models_of_both_apis():
    x = array(5, 33)
    linen = flax.linen.Sequential(
        [flax.linen.Dense(3), flaxnoise.linen.Dropout(0.5, deterministic=False)]
    )
    variables = linen.init(KEY, x)
    apply = lambda key, x: linen.apply(variables, x, rngs={"dropout": key})  # noqa: E731
    result = flaxnoise.mc_apply(apply, KEY, x, samples=6)
    assert result.samples.shape == (6, 5, 3)
    assert (result.variance > 0).any()
    layer = flaxnoise.nnx.Dropout(0.5)
    result = flaxnoise.mc_apply(lambda key, x: layer(x, key=key), KEY, x, samples=6)
    expected = flaxnoise.per_example(flaxnoise.dropout)(
        jax.random.split(KEY, 6), jnp.broadcast_to(x, (6, 5, 33)), 0.5
    )
    assert_same_bits(result.samples, expected)
    model = nnx.Sequential(nnx.Linear(33, 3, rngs=nnx.Rngs(0)), nnx.Dropout(0.5, rngs=nnx.Rngs(0)))
    graph, state = nnx.split(flaxnoise.nnx.replace_dropout(model))

    def reseeded(key, x):
        model = nnx.merge(graph, state, copy=True)
        nnx.reseed(model, dropout=key)
        return model(x)

    result = flaxnoise.mc_apply(reseeded, KEY, x, samples=6)
    assert (result.variance > 0).any()


def test_mistakes_of_passes_are_named():
    with pytest.raises(ValueError, match=r"mc_apply: samples must be at least 1, got 0"):
        flaxnoise.mc_apply(flaxnoise.dropout, KEY, array(3), 0.3, samples=0)
    with pytest.raises(ValueError, match=r"mc_apply: key must be a single key"):
        flaxnoise.mc_apply(flaxnoise.dropout, KEYS, array(3), 0.3, samples=2)
