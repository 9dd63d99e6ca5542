"""Donated buffers, and calls from many threads at once."""

from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np

from cases import CASES, KEY, Case, array, few_cases

X = array(33, 129)


@few_cases
def test_a_donated_x_is_overwritten(case: Case):
    x = X + 0
    expected = case(KEY, X)
    donating = jax.jit(lambda x: case(KEY, x), donate_argnums=0)
    assert "input_output_alias" in donating.lower(x).compile().as_text()
    y = donating(x)
    assert x.is_deleted()
    case.assert_equal(y, expected, X)


@few_cases
def test_donation_through_value_and_gradient(case: Case):
    x, weights = X + 0, array(33, 129, seed=1)

    def step(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        y, pull = jax.vjp(lambda x: case(KEY, x), x)
        return y, pull(weights)[0]

    y, slope = jax.jit(step, donate_argnums=0)(x)
    case.assert_equal(y, case(KEY, X), X)
    case.assert_equal(slope, case.tangent(KEY, X, weights), weights)


def test_threads_that_trace_and_run_at_once_do_not_disturb_each_other():
    """Each thread has its own shapes and keys, and some are in 64-bit mode."""
    cases = CASES[:2]

    def work(thread: int) -> list[np.ndarray]:
        with jax.enable_x64(thread % 2 == 1):
            x = jnp.asarray(np.ones((thread + 1, 7)), jnp.float32)
            keys = jax.random.split(jax.random.key(thread), len(cases))
            return [
                np.asarray(jax.grad(lambda x, c=case, k=key: jnp.vdot(x, c(k, x)))(x))
                for case, key in zip(cases, keys, strict=True)
            ]

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(work, range(4)))
    for thread, results in enumerate(together):
        for one, alone in zip(results, work(thread), strict=True):
            np.testing.assert_array_equal(one, alone)


def test_threads_that_run_one_program_get_the_noise_of_their_keys():
    keys = jax.random.split(KEY, 32)
    programs = [jax.jit(case) for case in CASES[:4]]
    for program in programs:
        program(keys[0], X)
    calls = [(program, key) for key in keys for program in programs]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda call: np.asarray(call[0](call[1], X)), calls))
    for (program, key), y in zip(calls, together, strict=True):
        np.testing.assert_array_equal(y, np.asarray(program(key, X)))
