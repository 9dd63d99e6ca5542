"""StopGradient: the identity forward and a zero gradient, in training and in evaluation."""

from collections.abc import Callable

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import flaxnoise.linen
import flaxnoise.nnx
from closeness import assert_same_bits
from every import every

X = jnp.array([jnp.nan, jnp.inf, -0.0, 1e-45, 3.0], jnp.float32)


def linen(x: jax.Array, **call: bool) -> jax.Array:
    return flaxnoise.linen.StopGradient().apply({}, x, **call)


def nnx_(x: jax.Array, **call: bool) -> jax.Array:
    return flaxnoise.nnx.StopGradient()(x, **call)


both = every("apply", [linen, nnx_], ids=["linen", "nnx"])
in_both_modes = every("call", [{}, {"deterministic": True}], ids=str)


@both
@in_both_modes
def test_forward_is_the_identity_of_every_dtype(apply: Callable[..., jax.Array], call: dict):
    for x in (X, X.astype(jnp.bfloat16), jnp.arange(5)):
        assert_same_bits(apply(x, **call), x)
        assert_same_bits(jax.jit(lambda x: apply(x, **call))(x), x)


@both
@in_both_modes
def test_backward_is_nothing(apply: Callable[..., jax.Array], call: dict):
    x = jnp.arange(5.0)
    gradient = jax.grad(lambda x: (apply(x, **call) * x).sum())(x)
    np.testing.assert_array_equal(gradient, x)
    np.testing.assert_array_equal(jax.jacobian(lambda x: apply(x, **call))(x), jnp.zeros((5, 5)))


@both
def test_trees_pass(apply: Callable[..., jax.Array]):
    tree = {"a": X, "b": (X, jnp.arange(5))}
    chex.assert_trees_all_equal(apply(tree), tree)


def test_it_takes_the_streams_of_a_noise_layer_and_touches_none():
    rngs = nnx.Rngs(0)
    assert_same_bits(flaxnoise.nnx.StopGradient()(X, deterministic=False, rngs=rngs), X)
    assert int(rngs.default.count.get_value()) == 0
    key = jax.random.key(0)
    assert_same_bits(flaxnoise.linen.StopGradient().apply({}, X, deterministic=False, rng=key), X)


def test_it_has_neither_variables_nor_state():
    assert flaxnoise.linen.StopGradient().init(jax.random.key(0), X) == {}
    assert not jax.tree.leaves(nnx.state(flaxnoise.nnx.StopGradient()))


def test_what_comes_before_is_frozen_in_linen():
    model = nn.Sequential([nn.Dense(7), flaxnoise.linen.StopGradient(), nn.Dense(1)])
    variables = model.init(jax.random.key(0), jnp.ones((3, 5)))
    gradients = jax.grad(lambda variables: model.apply(variables, jnp.ones((3, 5))).sum())(
        variables
    )
    chex.assert_trees_all_equal(
        gradients["params"]["layers_0"],
        jax.tree.map(jnp.zeros_like, variables["params"]["layers_0"]),
    )
    assert jnp.any(gradients["params"]["layers_2"]["kernel"] != 0)


def test_what_comes_before_is_frozen_in_nnx_and_train_and_eval_pass_it_by():
    rngs = nnx.Rngs(0)
    model = nnx.Sequential(
        nnx.Linear(5, 7, rngs=rngs), flaxnoise.nnx.StopGradient(), nnx.Linear(7, 1, rngs=rngs)
    )
    for switch in (model.train, model.eval):
        switch()
        gradients = nnx.grad(lambda model: model(jnp.ones((3, 5))).sum())(model)
        assert not jnp.any(gradients["layers"][0]["kernel"][...])
        assert jnp.any(gradients["layers"][2]["kernel"][...])
