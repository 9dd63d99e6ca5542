"""Variational and concrete dropout: distributions, gradients, penalties, and layers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
from flax import nnx

import flaxnoise
import flaxnoise.linen
import flaxnoise.nnx
from cases import KEY, array
from closeness import assert_same_bits, assert_within_ulps
from every import every
from flaxnoise import random, testing
from scores import LIMIT, count

X = array(5, 33)
RATE = 0.2
LOGIT = float(np.log(RATE / (1 - RATE)))


def test_variational_dropout_is_gaussian_dropout_of_variance_alpha():
    y = flaxnoise.variational_dropout(KEY, X, np.log(RATE / (1 - RATE)))
    expected = flaxnoise.gaussian_dropout(KEY, X, RATE)
    assert_within_ulps(y, expected, abs(X) + abs(expected), ulps=8)


def test_alpha_0_gives_x_and_huge_ones_stay_finite():
    assert_same_bits(flaxnoise.variational_dropout(KEY, X, -jnp.inf), X)
    assert_same_bits(jax.jit(flaxnoise.variational_dropout)(KEY, X, jnp.nan), X)
    for log_alpha in (1e3, jnp.inf):
        y = jax.jit(flaxnoise.variational_dropout)(KEY, X, log_alpha)
        assert_same_bits(y, flaxnoise.variational_dropout(KEY, X, 32.0))
        assert jnp.isfinite(y).all()


def test_gradient_of_log_alpha_is_the_pathwise_one():
    with jax.enable_x64(True):
        x, w = array(5, 33, dtype=jnp.float64), array(5, 33, dtype=jnp.float64, seed=1)
        log_alpha = jnp.linspace(-3.0, 1.0, 33)

        def loss(shift):
            return jnp.vdot(w, flaxnoise.variational_dropout(KEY, x, log_alpha + shift))

        difference = (loss(1e-4) - loss(-1e-4)) / 2e-4
        # The truncation error: h²/6 times a third derivative of at most ⅛ of the sum of terms.
        bound = 1e-8 / 6 / 8 * jnp.sum(abs(w * x)) * 6.7 * jnp.exp(0.5)
        assert abs(jax.grad(loss)(0.0) - difference) < bound


def exact_kl(log_alpha):
    """KL(N(1, α) ‖ log-uniform) up to its constant: −½ log α + E log|1 + √α·n|, by quadrature."""
    s = np.exp(log_alpha / 2)
    density = lambda n: np.exp(-(n**2) / 2) / np.sqrt(2 * np.pi)  # noqa: E731
    value, _ = scipy.integrate.quad(
        lambda n: density(n) * np.log(abs(1 + s * n)), -12, 12, points=[-1 / s], limit=500
    )
    return value - log_alpha / 2


@every("log_alpha", [-4.0, -1.0, 0.0, 2.0])
def test_kl_is_the_integral_to_the_approximation_s_accuracy(log_alpha: float):
    """The formula is a fit (Molchanov et al.); a difference to a large α cancels its constant."""
    found = flaxnoise.variational_dropout_kl(log_alpha) - flaxnoise.variational_dropout_kl(12.0)
    expected = exact_kl(log_alpha) - exact_kl(12.0)
    assert abs(float(found) - expected) < 0.012  # they fitted −KL + ½·log α, and state no bound
    assert abs(float(found) / 2 - expected) > 0.012  # planted: half of it


def test_concrete_dropout_is_the_formula_on_a_uniform_as_a_value():
    u = np.asarray(random.uniform(KEY, X.shape), np.float64)
    z = 1 / (1 + np.exp(-(LOGIT + np.log(u) - np.log1p(-u)) / 0.1))
    expected = np.asarray(X, np.float64) * (1 - z) / (1 - RATE)
    y = np.asarray(flaxnoise.concrete_dropout(KEY, X, LOGIT))
    # Ulps of logarithms of up to 16, divided by the temperature, times the slope of a sigmoid.
    allowed = 2.0**-23 * (16 / 0.1 + 8) * abs(np.asarray(X)) / (1 - RATE)
    assert (abs(y - expected) <= allowed).all()


def test_concrete_dropout_drops_at_the_rate():
    draws = 1 << 18
    y = np.asarray(flaxnoise.concrete_dropout(KEY, jnp.ones(draws), LOGIT, temperature=0.1))
    dropped = (y * (1 - RATE) < 0.5).sum()
    assert count(dropped, draws, RATE) < LIMIT
    assert count(dropped, draws, RATE * 1.05) > LIMIT


@every("logit", [-jnp.inf, -1e3, 1e3, jnp.inf])
@every("temperature", [1e-9, 0.1, 10.0])
def test_concrete_dropout_is_finite_everywhere(logit: float, temperature: float):
    def loss(x, logit, temperature):
        return flaxnoise.concrete_dropout(KEY, x, logit, temperature=temperature).sum()

    found = jax.jit(jax.value_and_grad(loss, (0, 1, 2)))(X, logit, temperature)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(found))


def test_gradient_of_the_rate_is_the_true_one():
    with jax.enable_x64(True):
        x, w = array(5, 33, dtype=jnp.float64), array(5, 33, dtype=jnp.float64, seed=1)

        def loss(logit):
            return jnp.vdot(w, flaxnoise.concrete_dropout(KEY, x, logit, temperature=0.5))

        h = 1e-4
        difference = (loss(LOGIT + h) - loss(LOGIT - h)) / (2 * h)
        third = jax.grad(jax.grad(jax.grad(loss)))(LOGIT)
        error = abs(jax.grad(loss)(LOGIT) - (difference - h**2 * third / 6))
        assert error < 1e-3 * abs(h**2 * third / 6) + 1e-9
        assert abs(jax.grad(loss)(LOGIT)) > 0.1


def test_neither_keeps_noise():
    testing.assert_no_noise_residuals(flaxnoise.variational_dropout, KEY, X, -1.0)
    testing.assert_no_noise_residuals(flaxnoise.concrete_dropout, KEY, X, -1.0)


@every("function", [flaxnoise.variational_dropout, flaxnoise.concrete_dropout])
def test_transforms(function):
    keys, xs = jax.random.split(KEY, 3), array(3, 5, 33)
    loop = jnp.stack([function(key, x, -1.0) for key, x in zip(keys, xs, strict=True)])
    mapped = jax.jit(jax.vmap(lambda key, x: function(key, x, -1.0)))(keys, xs)
    assert_within_ulps(mapped, loop, (abs(xs) + abs(loop)) * 20, ulps=8)
    shared = function(KEY, jnp.ones((5, 33)), -1.0, broadcast_dims=0)
    assert_same_bits(shared, jnp.broadcast_to(shared[:1], (5, 33)))


def test_penalty_is_the_formula():
    kernel = array(33, 5)
    found = flaxnoise.concrete_dropout_penalty(LOGIT, kernel, weight=0.3, entropy=0.7)
    entropy = -(RATE * np.log(RATE) + (1 - RATE) * np.log(1 - RATE))
    expected = 0.3 * np.sum(np.asarray(kernel, np.float64) ** 2) / (1 - RATE) - 0.7 * 33 * entropy
    assert abs(float(found) - expected) < 1e-5 * abs(expected)
    # More weight on the entropy moves the rate towards ½.
    slope = jax.grad(flaxnoise.concrete_dropout_penalty)
    assert slope(LOGIT, 0 * kernel, weight=0.0, entropy=1.0) < 0
    assert abs(slope(0.0, 0 * kernel, weight=0.0, entropy=1.0)) < 1e-6


def test_layers_own_and_learn_their_parameter():
    linen = flaxnoise.linen.VariationalDropout(deterministic=False)
    variables = linen.init(KEY, X)
    assert variables["params"]["log_alpha"].shape == (33,)
    y, sown = linen.apply(variables, X, key=KEY, mutable="losses")
    layer = flaxnoise.nnx.VariationalDropout(33, rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(y, flaxnoise.variational_dropout(KEY, X, jnp.full(33, -3.0)))
    np.testing.assert_array_equal(layer(X, key=KEY), y)
    kl = flaxnoise.variational_dropout_kl(jnp.full(33, -3.0)).sum()
    assert sown["losses"]["kl"] == layer.kl() == kl
    gradients = nnx.grad(lambda layer: (layer(X) ** 2).sum() + layer.kl())(layer)
    assert (gradients.log_alpha[...] != 0).all()
    assert linen.clone(deterministic=True).apply(variables, X) is X
    layer.eval()
    assert layer(X) is X

    linen = flaxnoise.linen.ConcreteDropout(deterministic=False)
    variables = linen.init(KEY, X)
    layer = flaxnoise.nnx.ConcreteDropout(rngs=nnx.Rngs(0))
    y = flaxnoise.concrete_dropout(KEY, X, jnp.float32(-2.2))
    np.testing.assert_array_equal(linen.apply(variables, X, key=KEY), y)
    np.testing.assert_array_equal(layer(X, key=KEY), y)
    gradients = nnx.grad(lambda layer: (layer(X) ** 2).sum())(layer)
    assert gradients.logit[...] != 0
    penalty = layer.penalty(array(33, 5), weight=0.3, entropy=0.7)
    assert penalty == flaxnoise.concrete_dropout_penalty(
        jnp.float32(-2.2), array(33, 5), weight=0.3, entropy=0.7
    )


def test_mistakes_are_named():
    with pytest.raises(
        ValueError, match=r"variational_dropout: log_alpha must be a number, got nan"
    ):
        flaxnoise.variational_dropout(KEY, X, np.nan)
    with pytest.raises(ValueError, match=r"concrete_dropout: temperature must be finite and > 0"):
        flaxnoise.concrete_dropout(KEY, X, 0.0, temperature=0.0)
    with pytest.raises(TypeError, match=r"concrete_dropout: logit must be a real number, got None"):
        flaxnoise.concrete_dropout(KEY, X, None)
    with pytest.raises(
        ValueError, match=r"concrete_dropout_penalty: weight must be finite and ≥ 0"
    ):
        flaxnoise.concrete_dropout_penalty(0.0, X, weight=-1.0, entropy=1.0)


def test_penalties_of_traced_values_are_never_nan():
    kl = jax.jit(flaxnoise.variational_dropout_kl)(jnp.array([jnp.nan, 0.0]))
    assert kl[0] == flaxnoise.variational_dropout_kl(32.0)
    assert kl[1] == flaxnoise.variational_dropout_kl(0.0)
    for names in (("weight",), ("entropy",), ("weight", "entropy")):
        given = {"weight": 0.3, "entropy": 0.7}
        traced = dict.fromkeys(names, jnp.nan)

        @jax.jit
        def penalty(traced, given=given):
            return flaxnoise.concrete_dropout_penalty(-2.2, X, **{**given, **traced})

        assert penalty(traced) == penalty(dict.fromkeys(names, 0.0))


def test_layers_refuse_an_initial_value_of_nan_when_made():
    for layers in (flaxnoise.linen, flaxnoise.nnx):
        for layer in (layers.VariationalDropout, layers.ConcreteDropout):
            given = {"shape": 33} if layer is flaxnoise.nnx.VariationalDropout else {}
            with pytest.raises(ValueError, match="initial must be a number, got nan"):
                layer(**given, initial=np.nan)
