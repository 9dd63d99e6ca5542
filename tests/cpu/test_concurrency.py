"""Many concurrent calls share XLA's threads, terminate, and give the same noise."""

import concurrent.futures

import jax
import jax.numpy as jnp
import numpy as np

import flaxnoise
from flaxnoise.backends import cpu

THREADS, CALLS, SIZE, LIMIT_S = 16, 20, 300_000, 120


def test_many_threads_with_many_calls_end_and_agree():
    x = jnp.ones(SIZE)
    program = jax.jit(lambda key, x: flaxnoise.dropout(key, x, 0.3))
    keys = list(jax.random.split(jax.random.key(5), THREADS))
    with flaxnoise.backend("cpu"):
        assert cpu.TARGET in program.lower(keys[0], x).as_text()
        expected = [np.asarray(program(key, x)) for key in keys]

        def work(i):
            return [np.array_equal(program(keys[i], x), expected[i]) for _ in range(CALLS)]

        with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
            futures = [pool.submit(work, i) for i in range(THREADS)]
            done, late = concurrent.futures.wait(futures, timeout=LIMIT_S)
            assert not late, "a call has not ended: the threads wait for each other"
            assert all(all(future.result()) for future in done)


def test_one_program_with_many_kernels_side_by_side_ends():
    keys = list(jax.random.split(jax.random.key(6), 24))

    def many(x):
        return sum(flaxnoise.gaussian_noise(key, x, 0.1) for key in keys)

    x = jnp.ones(100_000)
    with flaxnoise.backend("cpu"):
        program = jax.jit(many)
        assert program.lower(x).as_text().count(f"custom_call @{cpu.TARGET}") == len(keys)
        np.testing.assert_array_equal(program(x), program(x))
