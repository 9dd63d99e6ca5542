"""Prints the wheels of an extra, aot-gpu or aot-tpu, in the versions that match this jax."""

import importlib.metadata
import pathlib
import sys
import tomllib


def version(wheel: str) -> str:
    """Returns a version specifier: jaxlib's for wheels of jax, that of jax's extra for libtpu."""
    if wheel.startswith("jax-"):
        return "==" + importlib.metadata.version("jaxlib")
    if wheel == "libtpu":
        wanted = importlib.metadata.requires("jax") or []
        return next(line.removeprefix(wheel).split(";")[0] for line in wanted if wheel in line)
    return ""


project = pathlib.Path(__file__).parents[2] / "pyproject.toml"
extras = tomllib.loads(project.read_text())["project"]["optional-dependencies"]
print(*(f"{wheel}{version(wheel)}" for wheel in extras[sys.argv[1]]))
