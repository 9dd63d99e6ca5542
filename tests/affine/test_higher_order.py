"""Jacobians, Hessians, and every order of nesting of reverse and forward mode."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from cases import KEY, Case, array, few_cases
from every import every

X, WEIGHTS, V = array(7), array(7, seed=1), array(7, seed=2)


def loss(case: Case, x: jax.Array) -> jax.Array:
    """½·Σ w·y²: its Hessian is diagonal, w·(dy/dx)²."""
    return jnp.vdot(WEIGHTS, case(KEY, x) ** 2) / 2


def reverse_over_reverse(f: Callable, x: jax.Array, v: jax.Array) -> jax.Array:
    return jax.grad(lambda x: jnp.vdot(jax.grad(f)(x), v))(x)


def forward_over_reverse(f: Callable, x: jax.Array, v: jax.Array) -> jax.Array:
    return jax.jvp(jax.grad(f), (x,), (v,))[1]


def reverse_over_forward(f: Callable, x: jax.Array, v: jax.Array) -> jax.Array:
    return jax.grad(lambda x: jax.jvp(f, (x,), (v,))[1])(x)


def linearized_reverse(f: Callable, x: jax.Array, v: jax.Array) -> jax.Array:
    return jax.linearize(jax.grad(f), x)[1](v)


@every("jacobian", [jax.jacfwd, jax.jacrev])
@few_cases
def test_jacobian_is_diagonal(case: Case, jacobian: Callable):
    found = jax.jit(jacobian(lambda x: case(KEY, x)))(X)
    slope = case.tangent(KEY, X, jnp.ones_like(X))
    case.assert_equal(jnp.diagonal(found), slope, 1)
    assert jnp.array_equal(found, jnp.diag(jnp.diagonal(found)))


@every(
    "product",
    [reverse_over_reverse, forward_over_reverse, reverse_over_forward, linearized_reverse],
)
@few_cases
def test_second_derivative_in_a_direction(case: Case, product: Callable):
    found = jax.jit(lambda x, v: product(lambda x: loss(case, x), x, v))(X, V)
    slope = case.tangent(KEY, X, jnp.ones_like(X))
    assert_product(case, found, WEIGHTS * V, slope)


@few_cases
def test_hessian(case: Case):
    found = jax.jit(jax.hessian(lambda x: loss(case, x)))(X)
    assert_product(case, jnp.diagonal(found), WEIGHTS, case.tangent(KEY, X, jnp.ones_like(X)))
    assert jnp.array_equal(found, jnp.diag(jnp.diagonal(found)))


def assert_product(case: Case, found: jax.Array, factor: jax.Array, slope: jax.Array) -> None:
    """Compares with factor·slope², two of our outputs, each off by ulps of 1 + |slope|."""
    expected = factor * slope * slope
    terms = abs(factor) * (1 + abs(slope)) ** 2
    # Three multiplications in any order: two more roundings.
    assert found.dtype == expected.dtype
    error = abs(found - expected)
    ulps = 3 if case.exact else 2 * 8 + 3
    assert (error <= ulps * 2.0**-23 * terms).all(), error / terms * 2.0**23
