"""Prints the wheels of an extra, aot-gpu or aot-tpu, in the versions that this jax goes with."""

import importlib.metadata
import pathlib
import sys
import tomllib


def version(wheel: str) -> str:
    """jax's own wheels are jaxlib's age; which libtpu it goes with, its extra tpu says."""
    if wheel.startswith("jax-"):
        return "==" + importlib.metadata.version("jaxlib")
    if wheel == "libtpu":
        wanted = importlib.metadata.requires("jax") or []
        return next(line.removeprefix(wheel).split(";")[0] for line in wanted if wheel in line)
    return ""


project = pathlib.Path(__file__).parents[2] / "pyproject.toml"
extras = tomllib.loads(project.read_text())["project"]["optional-dependencies"]
print(*(f"{wheel}{version(wheel)}" for wheel in extras[sys.argv[1]]))
