"""Choosing a backend: ``flaxnoise.backend(…)``, FLAXNOISE_BACKEND, ``flaxnoise.backends()``."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

import flaxnoise
from cases import KEY, array
from every import every
from flaxnoise.backends import cpu

X = array(33, 129)
NAMES = ", ".join(map(repr, flaxnoise.backends()))


def test_xla_is_always_available():
    assert flaxnoise.backends()["xla"] == "available"


def test_these_tests_run_on_the_backend_that_the_environment_names():
    """Without a name they run on the C++ kernel, if it is built."""
    automatic = "cpu" if flaxnoise.backends()["cpu"] == "available" else "xla"
    name = os.environ.get("FLAXNOISE_BACKEND") or automatic
    lowered = jax.jit(lambda x: flaxnoise.dropout(KEY, x, 0.3)).lower(X).as_text()
    assert (f"custom_call @{cpu.TARGET}" in lowered) == (name == "cpu")


def test_a_function_jitted_before_is_traced_again():
    traces = []

    @jax.jit
    def noisy(x: jax.Array) -> jax.Array:
        traces.append(1)
        return flaxnoise.dropout(KEY, x, 0.3)

    expected = noisy(X)
    with flaxnoise.backend("xla"):
        assert jnp.array_equal(noisy(X), expected)
    noisy(X)
    assert len(traces) == 2


@every("name", ["triton", None, ["xla"]], ids=str)
def test_unknown_names(name: object):
    with pytest.raises(ValueError, match="must be one of") as error, flaxnoise.backend(name):
        pass
    assert str(error.value) == f"backend: must be one of {NAMES}, got {name!r}."


def in_a_process_with(backend: str, program: str) -> subprocess.CompletedProcess[str]:
    """Runs a program in a process with FLAXNOISE_BACKEND set."""
    lines = f"import jax, flaxnoise; KEY = jax.random.key(0); X = jax.numpy.ones(9); {program}"
    environment = {**os.environ, "FLAXNOISE_BACKEND": backend}
    return subprocess.run(
        [sys.executable, "-c", lines], capture_output=True, text=True, env=environment, check=False
    )


def test_unknown_name_in_the_environment():
    ran = in_a_process_with("triton", "flaxnoise.dropout(KEY, X, 0.3)")
    assert ran.returncode != 0
    assert f"FLAXNOISE_BACKEND: must be one of {NAMES}, got 'triton'." in ran.stderr


def test_the_environment_chooses():
    program = "print(jax.jit(flaxnoise.dropout).lower(KEY, X, 0.3).as_text())"
    ran = in_a_process_with("xla", program)
    assert ran.returncode == 0, ran.stderr
    assert "module @jit" in ran.stdout
    assert "flaxnoise_affine" not in ran.stdout


def test_the_context_wins_over_the_environment():
    program = "exec(\"with flaxnoise.backend('xla'): print(flaxnoise.dropout(KEY, X, 1.0).sum())\")"
    ran = in_a_process_with("triton", program)
    assert (ran.returncode, ran.stdout.strip()) == (0, "0.0"), ran.stderr
