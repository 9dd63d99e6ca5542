"""Prints the wheels of the extra aot-gpu, jax's own among them in the version of this jaxlib."""

import pathlib
import tomllib

import jaxlib

project = pathlib.Path(__file__).parents[2] / "pyproject.toml"
wheels = tomllib.loads(project.read_text())["project"]["optional-dependencies"]["aot-gpu"]
print(*(f"{w}=={jaxlib.__version__}" if w.startswith("jax-") else w for w in wheels))
