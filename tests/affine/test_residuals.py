"""The residuals of differentiation are keys and parameters, never noise."""

import jax
import jax.numpy as jnp
import pytest
from jax.ad_checkpoint import print_saved_residuals

from cases import KEY, Case, array, every_case, few_cases
from every import every
from flaxnoise import testing

X = array(5, 33)


@every_case
def test_nothing_of_the_size_of_x_is_saved(case: Case, capsys: pytest.CaptureFixture[str]):
    print_saved_residuals(lambda x: case(KEY, x), X)
    saved = capsys.readouterr().out.splitlines()
    assert saved
    assert not [line for line in saved if "[5,33]" in line]


@every_case
def test_only_a_learned_scale_saves_x_and_nothing_else_of_its_size(
    case: Case, capsys: pytest.CaptureFixture[str]
):
    print_saved_residuals(lambda x, *params: case(KEY, x, *params), X, *case.params)
    saved = capsys.readouterr().out.splitlines()
    large = [line for line in saved if "[5,33]" in line]
    assert all("from the argument x" in line for line in large)
    assert len(large) == case.saves_x


@every("broadcast_dims", [(), (1,)])
@every_case
def test_no_noise_is_saved_not_even_of_the_size_that_is_broadcast(
    case: Case, broadcast_dims: tuple[int, ...]
):
    def call(key: jax.Array, x: jax.Array, *params: jax.Array) -> jax.Array:
        return case.function(key, x, *params, broadcast_dims=broadcast_dims)

    testing.assert_no_noise_residuals(jax.jit(call), KEY, X, *case.params)


@few_cases
def test_no_noise_is_saved_under_vmap(case: Case):
    keys, xs = jax.random.split(KEY, 3), jnp.stack([X, X, X])
    testing.assert_no_noise_residuals(jax.vmap(lambda key, x: case(key, x)), keys, xs)


@few_cases
def test_scan_stacks_no_noise(case: Case):
    """A scan stacks the residuals of its steps: STEPS masks, if a step saved one."""

    def run(keys: jax.Array, xs: jax.Array) -> jax.Array:
        return jax.lax.scan(lambda _, step: (None, case(*step)), None, (keys, xs))[1]

    keys, xs = jax.random.split(KEY, 3), jnp.stack([X, X, X])
    testing.assert_no_noise_residuals(run, keys, xs)
