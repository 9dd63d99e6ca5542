"""jax's debug modes report nothing, at ordinary parameters and at the ends of their ranges."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import pytest
from jax.experimental import checkify

from cases import KEY, Case, array, every_case, few_cases

X = array(5, 33)


@pytest.fixture
def debug_mode() -> Iterator[None]:
    with jax.debug_nans(True), jax.debug_infs(True):
        yield


def all_params(case: Case) -> list[tuple[float, ...]]:
    unchecked = [params for params, _ in case.unchecked if all(map(jnp.isfinite, params))]
    return [case.params, *case.identity, *case.zeros, *unchecked]


@pytest.mark.usefixtures("debug_mode")
@every_case
def test_no_nan_and_no_inf_is_made_on_the_way(case: Case):
    argnums = tuple(range(1 + len(case.params)))

    def loss(x: jax.Array, *params: jax.Array) -> jax.Array:
        return case(KEY, x, *params).sum()

    step = jax.jit(jax.value_and_grad(loss, argnums=argnums))
    for params in all_params(case):
        jax.block_until_ready(step(X, *params))


@pytest.mark.usefixtures("debug_mode")
@few_cases
def test_nor_without_jit(case: Case):
    with jax.disable_jit():
        jax.block_until_ready(jax.grad(lambda x: case(KEY, x).sum())(X))


@few_cases
def test_checkify_finds_nothing_and_changes_nothing(case: Case):
    def step(x: jax.Array, *params: jax.Array) -> tuple[jax.Array, jax.Array]:
        y, pull = jax.vjp(lambda x: case(KEY, x, *params), x)
        return y, pull(jnp.ones_like(y))[0]

    checked = jax.jit(checkify.checkify(step, errors=checkify.all_checks))
    for params in all_params(case):
        error, (y, slope) = checked(X, *params)
        assert error.get() is None
        assert jnp.isfinite(y).all()
        assert jnp.isfinite(slope).all()
    error, (y, _) = checked(X, *case.params)
    case.assert_equal(y, case(KEY, X), X)
