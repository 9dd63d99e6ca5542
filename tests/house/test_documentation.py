"""The examples of docstrings and the Python blocks of README.md run."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

import flaxnoise

README = Path(__file__).resolve().parents[2] / "README.md"
LIBRARY = "flaxnoise.backends.cpu.flaxnoise_cpu"  # not a module, but has the suffix of one
MODULES = sorted(
    {found.name for found in pkgutil.walk_packages(flaxnoise.__path__, "flaxnoise.")} - {LIBRARY}
)


def run_examples(module: str) -> None:
    """Runs the examples of a module, which may use the names below without importing them."""
    names = {
        "flaxnoise": flaxnoise,
        "jax": jax,
        "jnp": jnp,
        "key": jax.random.key(7),
        "x": jnp.linspace(-1.0, 1.0, 33 * 129).reshape(33, 129),
    }
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    for example in doctest.DocTestFinder().find(importlib.import_module(module), extraglobs=names):
        runner.run(example)
    assert runner.summarize(verbose=False).failed == 0, "the output has the differences"


PACKAGES = {".".join(name.split(".")[:2]) for name in ("flaxnoise", *MODULES)}


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_examples_of_docstrings_run(package: str, subtests: pytest.Subtests):
    inner = [name for name in MODULES if name.startswith(f"{package}.")]
    for module in (package, *inner * (package != "flaxnoise")):
        with subtests.test(module):
            run_examples(module)


def test_python_of_the_readme_runs():
    """The blocks share their names, from top to bottom."""
    text = README.read_text()
    blocks = list(re.finditer(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
    names: dict[str, object] = {}
    assert blocks
    for block in blocks:
        lines_above = text[: block.start(1)].count("\n")
        exec(compile("\n" * lines_above + block[1], README, "exec"), names)
