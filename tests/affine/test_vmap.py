"""vmap over x, parameters, or both, up to three deep, equals a Python loop."""

import jax
import jax.numpy as jnp

from cases import KEY, Case, array, every_case, few_cases
from every import every

X = array(3, 4, 5)
KEYS = jax.random.split(KEY, 3)


def swept(case: Case, count: int) -> list[jax.Array]:
    """Returns several values for each parameter."""
    return [value * jnp.linspace(0.5, 1, count) for value in case.params]


@every("axis", [0, 1, 2, -1])
@few_cases
def test_over_any_axis_of_x_one_key_gives_each_example_the_same_noise(case: Case, axis: int):
    y = jax.vmap(lambda x: case(KEY, x), in_axes=axis, out_axes=axis)(X)
    for i in range(X.shape[axis]):
        alone = jnp.take(X, i, axis=axis)
        case.assert_equal(jnp.take(y, i, axis=axis), case(KEY, alone), alone)


@every_case
def test_over_parameters(case: Case):
    params = swept(case, 3)
    y = jax.vmap(lambda *params: case(KEY, X, *params))(*params)
    for i in range(3):
        case.assert_equal(y[i], case(KEY, X, *(values[i] for values in params)), X)


@every_case
def test_over_keys_x_and_parameters_at_once(case: Case):
    params = swept(case, 3)
    y = jax.jit(jax.vmap(case))(KEYS, X, *params)
    for i in range(3):
        alone = case(KEYS[i], X[i], *(values[i] for values in params))
        case.assert_equal(y[i], alone, X[i])


@few_cases
def test_three_deep_each_level_over_something_else(case: Case):
    """Keys at the outermost level, parameters at the middle one, an axis of x at the innermost."""
    params = swept(case, 2)

    def inner(key: jax.Array, *params: jax.Array) -> jax.Array:
        return jax.vmap(lambda x: case(key, x, *params), in_axes=1, out_axes=1)(X)

    def middle(key: jax.Array) -> jax.Array:
        return jax.vmap(lambda *params: inner(key, *params))(*params)

    y = jax.jit(jax.vmap(middle))(KEYS)
    for i in range(3):
        for j in range(2):
            for k in range(X.shape[1]):
                alone = case(KEYS[i], X[:, k], *(values[j] for values in params))
                case.assert_equal(y[i, j, :, k], alone, X[:, k])


@every_case
def test_vmap_of_grad_and_grad_of_vmap(case: Case):
    weights = array(4, 5, seed=1)

    def loss(key: jax.Array, x: jax.Array) -> jax.Array:
        return jnp.vdot(weights, case(key, x))

    inside = jax.jit(jax.vmap(jax.grad(loss, argnums=1)))(KEYS, X)
    outside = jax.jit(jax.grad(lambda x: jax.vmap(loss)(KEYS, x).sum()))(X)
    for i in range(3):
        expected = case.tangent(KEYS[i], X[i], weights)
        case.assert_equal(inside[i], expected, weights)
        case.assert_equal(outside[i], expected, weights)


@few_cases
def test_gradient_of_an_x_shared_by_all_keys_is_the_sum(case: Case):
    x, weights = X[0], array(4, 5, seed=1)

    def loss(x: jax.Array) -> jax.Array:
        return jnp.vdot(weights, jax.vmap(lambda key: case(key, x))(KEYS).sum(0))

    found = jax.jit(jax.grad(loss))(x)
    parts = [case.tangent(key, x, weights) for key in KEYS]
    terms = 3 * abs(weights) + sum(map(abs, parts))
    # Besides the normals' ulps: three terms, two additions in either order.
    ulps = 3 if case.exact else 8 + 3
    assert (abs(found - sum(parts)) <= ulps * 2.0**-23 * terms).all()


@few_cases
def test_vmap_of_an_unused_axis_size(case: Case):
    """Nothing is batched, so every example is the same."""
    y = jax.vmap(lambda: case(KEY, X[0]), axis_size=3)()
    for i in range(3):
        case.assert_equal(y[i], case(KEY, X[0]), X[0])
