"""Gradients in stddev and in gaussian_dropout's rate, given as numbers and as arrays."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

import flaxnoise
from cases import CASES, KEY, Case, array
from closeness import FLOAT32_ULP, NOISE_ULPS, wide
from every import every
from flaxnoise import random

X, WEIGHTS = array(5, 33), array(5, 33, seed=1)


def parameters(learned: bool) -> Callable:
    chosen = [
        (case, position)
        for case in CASES
        for position in range(len(case.params))
        if (position in case.learned) == learned
    ]
    ids = [f"{case.name}-{case.names[position]}" for case, position in chosen]
    return every(("case", "position"), chosen, ids=ids)


every_learned, every_fixed = parameters(learned=True), parameters(learned=False)


def loss_of(f: Callable, case: Case, position: int, x: jax.Array, w: jax.Array) -> Callable:
    """Σ w·y as a function of one parameter."""

    def loss(value: jax.Array) -> jax.Array:
        params = [*case.params[:position], value, *case.params[position + 1 :]]
        return jnp.vdot(w, f(KEY, x, *params))

    return loss


@every_learned
def test_gradient_equals_finite_differences(case: Case, position: int):
    """In float64; for fixed noise, y is a smooth function of the parameter."""
    with jax.enable_x64(True):
        x, weights = array(5, 33, dtype=jnp.float64), array(5, 33, dtype=jnp.float64, seed=1)
        loss = loss_of(case, case, position, x, weights)
        at, h = jnp.float64(case.params[position]), 1e-3
        difference = (loss(at + h) - loss(at - h)) / (2 * h)
        third = jax.jit(jax.grad(jax.grad(jax.grad(loss))))(at)
        # Taylor: (f(s + h) − f(s − h))/2h = f′ + h²·f‴/6 + …; and each loss is rounded.
        next_terms = abs(h**2 * third / 6) * 0.01
        rounding = x.size * jnp.finfo(x.dtype).eps * jnp.vdot(abs(weights), 4 * abs(x)) / h
        error = abs(jax.jit(jax.grad(loss))(at) + h**2 * third / 6 - difference)
        assert error <= next_terms + rounding
        assert abs(difference) > 1e6 * (next_terms + rounding)


@every("shape", [(), (33,), (5, 1), (5, 33)])
@every_learned
def test_gradient_of_an_array_equals_that_of_the_reference(
    case: Case, position: int, shape: tuple[int, ...]
):
    value = case.params[position] * jnp.asarray(
        np.random.default_rng(3).uniform(0.5, 1, shape), jnp.float32
    )

    def gradient(f: Callable) -> jax.Array:
        return jax.jit(jax.grad(loss_of(f, case, position, X, WEIGHTS)))(value)

    def slopes(value: jax.Array) -> jax.Array:
        params = [*case.params[:position], value, *case.params[position + 1 :]]
        return jax.jvp(
            lambda v: case.expected(KEY, X, *params[:position], v, *params[position + 1 :]),
            (value,),
            (jnp.ones_like(value),),
        )[1]

    found, expected = gradient(case), gradient(case.expected)
    assert (found.shape, found.dtype) == (value.shape, value.dtype)
    products = abs(wide(WEIGHTS) * wide(jax.jit(slopes)(value)))
    axes = tuple(a for a in range(2) if (1, 1, *shape)[-2:][a] == 1)
    terms = products.sum(axis=axes, keepdims=True).reshape(shape)
    summands = X.size // max(value.size, 1)
    # Each product is off by the noise's ulps and a few roundings; a sum of n terms adds n more.
    allowed = (NOISE_ULPS + 4 + summands) * FLOAT32_ULP * terms
    assert np.all(abs(wide(found) - wide(expected)) <= allowed)


@every_fixed
def test_rates_of_masks_have_no_gradient(case: Case, position: int):
    """A mask has no pathwise derivative; the documented gradient is 0, not a biased estimate."""
    gradient = jax.grad(loss_of(case, case, position, X, WEIGHTS))(case.params[position])
    assert gradient == 0


@every_learned
def test_gradient_under_vmap_over_the_parameter(case: Case, position: int):
    gradient = jax.grad(loss_of(case, case, position, X, WEIGHTS))
    values = case.params[position] * jnp.array([0.5, 0.75, 1.0])
    terms = jnp.vdot(abs(WEIGHTS), 1 + abs(X)) * 8
    error = abs(jax.vmap(gradient)(values) - jnp.stack([gradient(value) for value in values]))
    # Sums of X.size terms in two orders.
    assert (error <= X.size * FLOAT32_ULP * terms).all()


def test_bfloat16_gradients_are_summed_in_float32():
    """A sum of many terms, each smaller than half an ulp of a running sum in bfloat16."""
    x = jnp.ones(512, jnp.bfloat16)
    n = np.asarray(random.normal(KEY, x.shape), np.float64)

    def loss(stddev: jax.Array) -> jax.Array:
        return flaxnoise.gaussian_noise(KEY, x, stddev).sum()

    found = jax.grad(loss)(jnp.float32(0.3))
    allowed = (NOISE_ULPS + x.size) * FLOAT32_ULP * abs(n).sum()
    assert abs(found - n.sum()) <= allowed
    # Only the result is rounded, by at most half a step; a running sum in bfloat16 would be off.
    assert allowed < float(jnp.finfo(jnp.bfloat16).eps) / 4 * abs(n.sum())


def test_gradient_of_a_rate_that_scales_complex_numbers():
    (case,) = (case for case in CASES if case.name == "gaussian_dropout")
    x, weights = array(5, 33, dtype=jnp.complex64), array(5, 33, dtype=jnp.complex64, seed=1)

    def gradient(f: Callable) -> jax.Array:
        return jax.jit(jax.grad(lambda rate: jnp.real(jnp.vdot(weights, f(KEY, x, rate)))))(0.3)

    terms = 2 * jnp.vdot(abs(weights), abs(x) + abs(case(KEY, x)))
    error = abs(gradient(case) - gradient(case.expected))
    # Two terms per element, summed in two orders; ds/drate is below 4 at 0.3.
    assert error <= (NOISE_ULPS + 4 + 2 * x.size) * FLOAT32_ULP * 4 * terms
