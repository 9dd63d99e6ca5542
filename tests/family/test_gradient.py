"""Functions that act on the gradient: x itself forward, the promised cotangent backward."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flaxnoise
import flaxnoise.linen
import flaxnoise.nnx
from cases import KEY, array
from closeness import assert_same_bits, assert_within_ulps
from every import every
from flaxnoise import random, testing

X, DY = array(5, 33), array(5, 33, seed=1)
ODD = jnp.array([jnp.nan, jnp.inf, -0.0, 1e-45], jnp.float32)
FORWARD = {
    "stop_gradient": flaxnoise.stop_gradient,
    "stop_gradient where": lambda x: flaxnoise.stop_gradient(x, where=jnp.isnan(x)),
    "gradient_scale": lambda x: flaxnoise.gradient_scale(x, 0.3),
    "gradient_reversal": flaxnoise.gradient_reversal,
    "gradient_noise": lambda x: flaxnoise.gradient_noise(KEY, x, 0.3),
    "activity_regularization": lambda x: flaxnoise.activity_regularization(x, 0.3, 0.7),
}
SCALE = np.float32(0.3)


def cotangent(f, x=X, dy=DY):
    return jax.vjp(f, x)[1](dy)[0]


@every("name", FORWARD)
@every("dtype", [jnp.float32, jnp.bfloat16])
def test_forward_is_x_itself(name: str, dtype: jnp.dtype):
    for x in (ODD.astype(dtype), jnp.asarray(1.5, dtype)):
        testing.assert_identity(FORWARD[name], x)
        testing.assert_identity(jax.jit(FORWARD[name]), x)


def test_mask_stops_what_it_names():
    where = X > 0
    chex.assert_trees_all_equal(
        cotangent(lambda x: flaxnoise.stop_gradient(x, where)), jnp.where(where, 0, DY)
    )
    column = jnp.arange(33) < 7
    found = cotangent(lambda x: flaxnoise.stop_gradient(x, column))
    chex.assert_trees_all_equal(found, jnp.where(column, 0, DY))
    chex.assert_trees_all_equal(cotangent(lambda x: flaxnoise.stop_gradient(x, False)), DY)


def test_path_stops_what_it_names():
    tree = {"encoder": {"kernel": X, "bias": X}, "heads": [X, X]}
    seen = []

    def frozen(path):
        seen.append(path)
        return path.startswith("encoder/") or path == "heads/1"

    gradients = jax.grad(
        lambda tree: sum(x.sum() for x in jax.tree.leaves(flaxnoise.stop_gradient(tree, frozen)))
    )(tree)
    none, one = jnp.zeros_like(X), jnp.ones_like(X)
    expected = {"encoder": {"kernel": none, "bias": none}, "heads": [one, none]}
    chex.assert_trees_all_equal(gradients, expected)
    assert sorted(seen) == ["encoder/bias", "encoder/kernel", "heads/0", "heads/1"]


def test_tree_of_masks_stops_what_it_names():
    tree, where = {"a": X, "b": X}, {"a": True, "b": X > 0}
    found = jax.vjp(lambda tree: flaxnoise.stop_gradient(tree, where), tree)[1]({"a": DY, "b": DY})
    expected = {"a": jnp.zeros_like(X), "b": jnp.where(X > 0, 0, DY)}
    chex.assert_trees_all_equal(found[0], expected)


@every("sign", [1, -1])
def test_scale_and_reversal_scale_cotangents_and_tangents(sign: int):
    function = {1: flaxnoise.gradient_scale, -1: flaxnoise.gradient_reversal}[sign]
    f = lambda x: function(x, 0.3)  # noqa: E731
    expected = sign * SCALE * DY
    assert_same_bits(cotangent(f), expected)
    assert_same_bits(jax.jvp(f, (X,), (DY,))[1], expected)
    assert_same_bits(jax.jit(jax.vmap(lambda x, dy: cotangent(f, x, dy)))(X, DY), expected)
    again = jax.grad(lambda dy: jnp.vdot(cotangent(f, X, dy), X))(DY)
    assert_same_bits(again, sign * SCALE * X)
    narrow = cotangent(f, X.astype(jnp.bfloat16), DY.astype(jnp.bfloat16))
    wide = sign * SCALE * DY.astype(jnp.bfloat16).astype(jnp.float32)
    assert_same_bits(narrow, wide.astype(jnp.bfloat16))
    nothing = jax.jit(lambda scale: cotangent(lambda x: function(x, scale), X, DY * jnp.nan))
    assert_same_bits(nothing(0.0), jnp.zeros_like(X))
    tree = {"a": X, "b": [X]}
    chex.assert_trees_all_equal(function(tree, 0.3), tree)


def test_noise_on_the_gradient_is_that_of_gaussian_noise():
    found = cotangent(lambda x: flaxnoise.gradient_noise(KEY, x, 0.3))
    expected = flaxnoise.gaussian_noise(KEY, DY, 0.3)
    assert_within_ulps(found, expected, abs(DY) + abs(expected), ulps=8)
    assert_same_bits(cotangent(lambda x: flaxnoise.gradient_noise(KEY, x, 0.0)), DY)
    testing.assert_no_noise_residuals(flaxnoise.gradient_noise, KEY, X, 0.3)
    keys = jax.random.split(KEY, 5)
    mapped = jax.vmap(
        lambda key, x, dy: cotangent(lambda x: flaxnoise.gradient_noise(key, x, 0.3), x, dy)
    )(keys, X, DY)
    n = jnp.stack([random.normal(key, (33,)) for key in keys])
    assert_within_ulps(mapped, DY + SCALE * n, abs(DY) + abs(n), ulps=8)
    assert jax.grad(lambda s: flaxnoise.gradient_noise(KEY, X, s).sum())(0.3) == 0


def test_penalty_s_gradient_is_added():
    def loss(x):
        return jnp.vdot(flaxnoise.activity_regularization(x, l1=0.3, l2=0.7), DY)

    def by_hand(x):
        return jnp.vdot(x, DY) + 0.3 * jnp.sum(abs(x)) + 0.7 * jnp.sum(x**2)

    found, expected = jax.jit(jax.grad(loss))(X), jax.grad(by_hand)(X)
    assert_within_ulps(found, expected, abs(DY) + abs(X) * 1.4 + 0.3, ulps=4)
    assert jax.grad(lambda l1: flaxnoise.activity_regularization(X, l1).sum())(0.3) == 0


def test_layers_of_both_apis_do_as_their_functions():
    fields = {
        "GradientScale": ({"scale": 0.3}, FORWARD["gradient_scale"]),
        "GradientReversal": ({}, FORWARD["gradient_reversal"]),
        "ActivityRegularization": ({"l1": 0.3, "l2": 0.7}, FORWARD["activity_regularization"]),
        "StopGradient": ({"where": X > 0}, lambda x: flaxnoise.stop_gradient(x, X > 0)),
    }
    for name, (given, function) in fields.items():
        linen = getattr(flaxnoise.linen, name)(**given)
        layer = getattr(flaxnoise.nnx, name)(**given)
        expected = cotangent(function)
        for deterministic in (None, True, False):
            call = {"deterministic": deterministic}
            chex.assert_trees_all_equal(cotangent(lambda x: linen.apply({}, x, **call)), expected)  # noqa: B023
            chex.assert_trees_all_equal(cotangent(lambda x: layer(x, **call)), expected)  # noqa: B023
    linen, layer = flaxnoise.linen.GradientNoise(0.3), flaxnoise.nnx.GradientNoise(0.3)
    for f in (
        lambda x: linen.apply({}, x, deterministic=False, key=KEY),
        lambda x: layer(x, key=KEY),
    ):
        chex.assert_trees_all_equal(cotangent(f), cotangent(FORWARD["gradient_noise"]))
    assert linen.apply({}, X, deterministic=True) is X
    assert layer(X, deterministic=True) is X


def test_mistakes_are_named():
    with pytest.raises(TypeError, match=r"stop_gradient: where must be made of bools, got float32"):
        flaxnoise.stop_gradient(X, X)
    with pytest.raises(ValueError, match=r"stop_gradient: where must be a function, an array or"):
        flaxnoise.stop_gradient({"a": X}, {"b": True})
    with pytest.raises(ValueError, match=r"stop_gradient: where must be a scalar or broadcast"):
        flaxnoise.stop_gradient(X, jnp.ones((2, 5, 33), bool))
    with pytest.raises(ValueError, match=r"gradient_scale: scale must be finite, got inf"):
        flaxnoise.gradient_scale(X, jnp.inf)
    with pytest.raises(TypeError, match=r"gradient_reversal: x must be floating or complex"):
        flaxnoise.gradient_reversal(jnp.arange(3))
    with pytest.raises(ValueError, match=r"activity_regularization: l1 must be finite and ≥ 0"):
        flaxnoise.activity_regularization(X, l1=-1.0)
    with pytest.raises(ValueError, match=r"gradient_noise: stddev must be finite and ≥ 0"):
        flaxnoise.gradient_noise(KEY, X, -1.0)
