"""Without a working compiler the package installs, uses xla, and says what is missing."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import flaxnoise

ROOT = Path(__file__).parents[2]

PROGRAM = """
import jax, jax.numpy as jnp, flaxnoise
print(flaxnoise.__file__)
print(flaxnoise.backends()["cpu"])
x = jnp.ones(1000)
print(int(jnp.sum(flaxnoise.dropout(jax.random.key(0), x, 0.5) != 0)))
with flaxnoise.backend("cpu"):
    try:
        flaxnoise.dropout(jax.random.key(0), x, 0.25)
    except NotImplementedError as error:
        print(error)
"""


def built_with_false(folder: Path, kernel: str) -> subprocess.CompletedProcess[str]:
    """Builds the package with compilers that fail."""
    pytest.importorskip("scikit_build_core", reason="scikit-build-core is not installed")
    build = f"from scikit_build_core.build import build_wheel; build_wheel({str(folder)!r})"
    broken = {"CC": "/bin/false", "CXX": "/bin/false", "SKBUILD_BUILD_DIR": str(folder / "build")}
    return subprocess.run(
        [sys.executable, "-c", build],
        cwd=ROOT,
        env={**os.environ, **broken, "FLAXNOISE_KERNEL": kernel},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    ran = built_with_false(folder, kernel="0")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_of_a_broken_compiler_has_no_library(wheel: Path):
    assert wheel.name.startswith(f"flaxnoise-{flaxnoise.__version__}-py3-none-")
    names = zipfile.ZipFile(wheel).namelist()
    assert "flaxnoise/backends/cpu/library.py" in names
    assert not [name for name in names if name.endswith((".so", ".cc", ".h"))]


def test_it_serves_by_xla_and_says_why(wheel: Path):
    # Without the site module, whose .pth files would add the installation under test.
    site = wheel.parent / "site"
    zipfile.ZipFile(wheel).extractall(site)
    folders = [str(site), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}
    environment.pop("FLAXNOISE_BACKEND", None)
    ran = subprocess.run(
        [sys.executable, "-S", "-c", PROGRAM],
        cwd=wheel.parent,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    path, status, kept, refusal = ran.stdout.splitlines()
    assert path.startswith(str(site))
    assert "installed: no working C++ compiler was found (CXX=/bin/false)." in status
    assert "RuntimeWarning: flaxnoise: the same noise comes from XLA" in ran.stderr
    assert 400 < int(kept) < 600
    assert refusal.startswith("backend 'cpu' cannot serve this call: its library was not built")


def test_an_installation_that_must_have_the_kernel_fails_and_says_why(tmp_path: Path):
    ran = built_with_false(tmp_path, kernel="1")
    assert ran.returncode != 0
    assert "FLAXNOISE_KERNEL is set, and no working C++ compiler was found" in ran.stderr
    assert not list(tmp_path.glob("*.whl"))
