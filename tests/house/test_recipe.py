"""The guide's recipe for a new kind of noise, applied to a copy of the tree."""

import importlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "scripts" / "docs" / "guides" / "adding_a_noise.md"
# Tests over the tables: rows and docstrings, ends, dtypes, errors, shared noise, both layers.
SUITE = (
    "tests/functions/test_table.py",
    "tests/functions/test_ends.py",
    "tests/functions/test_dtypes.py",
    "tests/functions/test_broadcast_dims.py",
    "tests/functions/test_errors.py",
    "tests/functions/test_wrong_types.py",
    "tests/functions/test_certain.py",
    "tests/affine/test_vmap.py",
    "tests/affine/test_parameter_gradients.py",
    "tests/layers/test_table.py",
    "tests/layers/test_function.py",
    "tests/stream/test_domains.py",
)
CHOSEN = "riangular|row|domain"
# A module run in the copy. The finder of an editable installation would find the original package.
RUN = """
import runpy, sys
sys.meta_path[:] = [f for f in sys.meta_path if not type(f).__module__.startswith("_editable")]
del sys.argv[0]
sys.path[0] = ""
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def follow(recipe: str, tree: Path) -> None:
    """Inserts the lines with + below the line above them, or at the end of the file."""
    for part in re.split(r"^\+\+\+ ", recipe, flags=re.MULTILINE)[1:]:
        name, *steps = part.splitlines()
        lines = (tree / name).read_text().splitlines()
        at = len(lines)
        for step in steps:
            if step.startswith(" "):
                assert lines.count(step[1:]) == 1, f"the recipe: {name} lacks {step[1:]!r}"
                at = lines.index(step[1:]) + 1
            else:
                assert step.startswith("+")
                lines.insert(at, step[1:])
                at += 1
        (tree / name).write_text("\n".join(lines) + "\n")


def test_a_new_kind_of_noise_by_the_recipe_has_a_green_suite(tmp_path: Path):
    for folder in ("flaxnoise", "tests"):
        ignored = shutil.ignore_patterns("__pycache__", "aot", "bench", "demo", "training")
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for folder in map(
        Path, importlib.import_module("flaxnoise.backends.cpu").__path__
    ):  # the kernel, if it is there
        for library in folder.glob("flaxnoise_cpu.*"):
            shutil.copy(library, tmp_path / "flaxnoise" / "backends" / "cpu")
    (recipe,) = re.findall(r"^```diff\n(.*?)^```", RECIPE.read_text(), re.M | re.S)
    follow(recipe, tmp_path)
    for command in (
        ["ruff", "check", "-q", "flaxnoise", "tests/support"],
        ["ruff", "format", "-q", "--check", "flaxnoise", "tests/support"],
        ["pytest", "-v", "-p", "no:cacheprovider", "--cases", CHOSEN, *SUITE],
    ):
        run = subprocess.run(
            [sys.executable, "-c", RUN, *command], cwd=tmp_path, capture_output=True, text=True
        )
        assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-2000:]
    cases = re.findall(r"SUBPASSED(\[.*?\])", run.stdout)
    assert len([case for case in cases if "riangular" in case]) > 20
