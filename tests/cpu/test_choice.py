"""Which kernel runs: the compiled one on one CPU device, xla's own code where it may not."""

import os
import pathlib
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

import flaxnoise
from flaxnoise.backends import cpu, cpu_library
from flaxnoise.stream import variates

KEY, X = jax.random.key(0), jnp.ones((4, 300))
CALL = f"custom_call @{cpu.TARGET}"
SOURCES = pathlib.Path(__file__).parents[2] / "flaxnoise" / "backends" / "cpp"


def lowered(function, *arguments):
    return jax.jit(function).lower(*arguments).as_text()


def drop(x):
    return flaxnoise.dropout(KEY, x, 0.5)


def test_the_kernel_serves_forward_and_gradient():
    assert lowered(drop, X).count(CALL) == 1
    gradient = lowered(jax.grad(lambda x: jnp.sum(drop(x) ** 2)), X)
    assert gradient.count(CALL) == 2


def test_batches_of_keys_inputs_and_parameters_are_one_call():
    keys, x = jax.random.split(KEY, 6).reshape(2, 3), jnp.ones((2, 3, 700))
    rows = jax.vmap(flaxnoise.dropout)
    apply = jax.vmap(rows, in_axes=(0, 0, None))
    assert lowered(apply, keys, x, jnp.array([0.1, 0.5, 0.9])).count(CALL) == 1


def test_a_forced_xla_calls_no_kernel():
    with flaxnoise.backend("xla"):
        assert CALL not in lowered(drop, X)


def test_a_missing_library_leaves_the_work_to_xla_and_says_why(monkeypatch):
    monkeypatch.setattr(cpu_library, "LIBRARY", "not_built.so")
    cpu_library._load.cache_clear()
    try:
        assert "was not built" in flaxnoise.backends()["cpu"]
        assert CALL not in lowered(lambda x: drop(x) + 1, X)
        with flaxnoise.backend("cpu"), pytest.raises(NotImplementedError, match="was not built"):
            lowered(lambda x: drop(x) + 2, X)
    finally:
        monkeypatch.undo()
        cpu_library._load.cache_clear()
    assert flaxnoise.backends()["cpu"] == "available"


def test_an_unknown_simd_target_is_refused_by_name():
    program = "import flaxnoise; print(flaxnoise.backends())"
    ran = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, cpu_library.ENVIRONMENT: "mmx"},
    )
    assert ran.returncode != 0
    assert re.search(r"FLAXNOISE_SIMD: this processor has .*, got 'mmx'\.", ran.stderr)


@pytest.mark.parametrize("name", ["LOG", "SIN", "COS"])
def test_the_kernel_has_the_polynomials_of_the_stream(name):
    text = (SOURCES / "stream.h").read_text()
    found = re.search(rf"float {name}\[\] = \{{([^}}]*)\}}", text)
    assert found, f"stream.h defines no {name}"
    values = tuple(float(number.strip().rstrip("f")) for number in found[1].split(","))
    assert values == getattr(variates, name)
