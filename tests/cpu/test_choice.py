"""Which kernel runs: the compiled one on a CPU device, xla where the compiled one is refused."""

import importlib.util
import os
import pathlib
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

import flaxnoise
from every import every
from flaxnoise.backends import choice, cpu
from flaxnoise.backends.cpu import library as cpu_library
from flaxnoise.stream import variates

KEY, X = jax.random.key(0), jnp.ones((4, 300))
CALL = f"custom_call @{cpu.TARGET}"
SOURCES = pathlib.Path(__file__).parents[2] / "flaxnoise" / "backends" / "cpu" / "cpp"


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


@pytest.fixture
def broken(monkeypatch):
    """Reloads the library after each change, as a new process would."""

    def change(owner, name, value):
        monkeypatch.setattr(owner, name, value)
        forget()

    def forget():
        cpu_library._load.cache_clear()
        choice._warn_once.cache_clear()

    yield change
    monkeypatch.undo()
    forget()
    assert flaxnoise.backends()["cpu"] == "available"


def assert_xla_serves_and_warns_once(reason: str) -> None:
    assert re.search(reason, flaxnoise.backends()["cpu"])
    with pytest.warns(RuntimeWarning, match=f"(?s)XLA.*{reason}.*FLAXNOISE_BACKEND=xla") as caught:
        texts = [lowered(lambda x, i=i: drop(x) + i, X) for i in (1, 2)]
    assert len(caught) == 1
    assert CALL not in "".join(texts)
    with flaxnoise.backend("xla"):
        lowered(lambda x: drop(x) + 3, X)
    with flaxnoise.backend("cpu"), pytest.raises(NotImplementedError, match=reason):
        lowered(lambda x: drop(x) + 4, X)


def test_a_library_that_was_not_built(broken):
    broken(cpu_library, "LIBRARY", "not_built.so")
    assert_xla_serves_and_warns_once(r"was not built when flaxnoise was installed\. .*KERNEL=1")


def test_the_reason_that_the_build_left_is_given(broken, tmp_path):
    (tmp_path / cpu_library.REASON).write_text("no working C++ compiler was found\n")
    broken(sys.modules["flaxnoise.backends.cpu"], "__path__", [str(tmp_path)])
    assert_xla_serves_and_warns_once(r"installed: no working C\+\+ compiler was found\.")


def test_a_jaxlib_without_headers(broken, tmp_path):
    broken(jax.ffi, "include_dir", lambda: str(tmp_path))
    assert_xla_serves_and_warns_once("this jaxlib has no C headers")


def test_a_library_for_a_newer_jaxlib(broken):
    broken(cpu_library, "_interface_version", lambda: (0, 1))
    assert_xla_serves_and_warns_once(r"built for version 0\.\d+ .* has 0\.1\.")


@pytest.mark.parametrize(
    ("library", "reason"),
    [("no library", "cannot be loaded"), ("another", "that of another version of flaxnoise")],
)
def test_a_wrong_library(broken, tmp_path, library: str, reason: str):
    if library == "no library":
        (tmp_path / cpu_library.LIBRARY).write_bytes(b"not a library")
    else:
        other = importlib.util.find_spec("_ctypes")
        assert other is not None
        assert other.origin is not None
        (tmp_path / cpu_library.LIBRARY).symlink_to(other.origin)
    broken(sys.modules["flaxnoise.backends.cpu"], "__path__", [str(tmp_path)])
    assert_xla_serves_and_warns_once(reason)


def test_a_library_that_xla_refuses(broken):
    def refuse(*_, **__):
        raise RuntimeError("no such interface")

    broken(jax.ffi, "register_ffi_target", refuse)
    assert_xla_serves_and_warns_once("XLA refuses its library: no such interface")


def test_a_kind_that_the_library_lacks_is_refused_with_the_reason(monkeypatch):
    """Like a kind that has a row in the stream's table and no C++ yet: xla computes it."""
    fewer = {name: domain for name, domain in cpu_library.kinds().items() if name != "keep"}
    monkeypatch.setattr(cpu_library, "kinds", lambda: fewer)
    assert CALL not in lowered(lambda x: drop(x) + 3, X)
    reason = r"its kernel does not know noise of the kind 'keep'\."
    with flaxnoise.backend("cpu"), pytest.raises(NotImplementedError, match=reason):
        lowered(lambda x: drop(x) + 4, X)


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


@every("name", ["LOG", "SIN", "COS"])
def test_the_kernel_has_the_polynomials_of_the_stream(name):
    text = (SOURCES / "stream.h").read_text()
    found = re.search(rf"float {name}\[\] = \{{([^}}]*)\}}", text)
    assert found, f"stream.h defines no {name}"
    values = tuple(float(number.strip().rstrip("f")) for number in found[1].split(","))
    assert values == getattr(variates, name)
