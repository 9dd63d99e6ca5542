"""Random programs give the same bits with the C++ kernel and with XLA, and in repeated runs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

import flaxnoise
from closeness import assert_same_bits
from flaxnoise.backends import cpu
from programs import Node, programs
from suites import drawn

KEY = jax.random.key(5)
X = jnp.asarray(np.random.default_rng(1).integers(-9, 9, (4, 7)), jnp.float32)


@pytest.mark.usefixtures("needs_kernel")
@drawn(12, shrinks=False)
@given(programs())
def test_both_backends_run_a_program_alike(program: Node):
    before = np.array(X)
    results = {}
    for backend in ("cpu", "xla"):
        with flaxnoise.backend(backend):
            lowered = jax.jit(program).lower(KEY, X)
            assert (f"custom_call @{cpu.TARGET}" in lowered.as_text()) == (backend == "cpu")
            run = lowered.compile()
        results[backend] = run(KEY, X)
        assert_same_bits(run(KEY, X), results[backend])
        assert_same_bits(X, before)
    assert_same_bits(results["cpu"], results["xla"])
    with flaxnoise.backend("cpu"):
        donating = jax.jit(program, donate_argnums=1)
        assert_same_bits(donating(KEY, X + 0), results["cpu"])
