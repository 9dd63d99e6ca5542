"""grad, value_and_grad, vjp, and gradients in several arguments at once."""

import jax
import jax.numpy as jnp
import numpy as np

from cases import KEY, Case, array, every_case, few_cases
from closeness import assert_within_ulps, wide

X, WEIGHTS = array(5, 33), array(5, 33, seed=1)


@every_case
def test_grad_equals_that_of_the_reference(case: Case):
    def gradient(f) -> jax.Array:
        return jax.jit(jax.grad(lambda x: jnp.vdot(WEIGHTS, f(KEY, x))))(X)

    case.assert_equal(gradient(case), gradient(case.expected), WEIGHTS)


@few_cases
def test_eager_grad_equals_the_jitted_one(case: Case):
    gradient = jax.grad(lambda x: jnp.vdot(WEIGHTS, case(KEY, x)))
    case.assert_equal(gradient(X), jax.jit(gradient)(X), WEIGHTS)


@every_case
def test_value_and_grad_keeps_the_value(case: Case):
    def loss(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        y = case(KEY, x)
        return jnp.vdot(WEIGHTS, y), y

    (value, y), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(X)
    case.assert_equal(y, jax.jit(case.expected)(KEY, X), X)
    case.assert_equal(gradient, case.tangent(KEY, X, WEIGHTS), WEIGHTS)
    products = wide(WEIGHTS) * wide(y)
    # The error of a sum of n terms is at most n roundings of the sum of their magnitudes.
    assert_within_ulps(value, np.float32(products.sum()), abs(products).sum(), ulps=products.size)


@few_cases
def test_vjp_can_be_called_again_with_another_cotangent(case: Case):
    y, pull = jax.vjp(lambda x: case(KEY, x), X)
    case.assert_equal(y, jax.jit(case.expected)(KEY, X), X)
    for cotangent in (jnp.ones_like(X), WEIGHTS):
        case.assert_equal(pull(cotangent)[0], case.tangent(KEY, X, cotangent), cotangent)


@few_cases
def test_gradient_in_x_and_parameters_at_once(case: Case):
    """A joint gradient equals the separate ones."""
    learned = tuple(2 + i for i in case.learned)

    def loss(*args: jax.Array) -> jax.Array:
        return jnp.vdot(WEIGHTS, case(*args))

    together = jax.jit(jax.grad(loss, argnums=(1, *learned)))(KEY, X, *case.params)
    for argnum, gradient in zip((1, *learned), together, strict=True):
        alone = jax.jit(jax.grad(loss, argnums=argnum))(KEY, X, *case.params)
        if argnum == 1:
            case.assert_equal(gradient, alone, WEIGHTS)
        else:
            terms = np.sum(np.abs(wide(WEIGHTS)) * (1 + np.abs(wide(X)))) * 8
            assert_within_ulps(gradient, alone, terms, ulps=X.size)
