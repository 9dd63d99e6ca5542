"""Workflows, hooks and CONTRIBUTING.md name scripts, settings, modules and files that exist."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = [*sorted((ROOT / ".github").rglob("*.*")), ROOT / ".pre-commit-config.yaml"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_what_is_called_exists(file: Path):
    text = file.read_text()
    called = re.findall(r"\bbash ((?:scripts|\.ci)/?\S*?)(?=[`\s]|$)", text)
    assert called
    assert all((ROOT / path).is_file() for path in called), called
    scripts = "".join(path.read_text() for path in (ROOT / "scripts").glob("*.sh"))
    for setting in re.findall(r"\b(JAX_VERSION|PYTHON|FLAXNOISE_TEST_STAGES)(?=[:=])", text):
        assert f"{setting}:-" in scripts


@pytest.mark.parametrize("module", ["bench", "bench.readme", "bench.guard"])
def test_modules_that_contributing_names_exist(module: str):
    assert f"python -m {module}" in (ROOT / ".github" / "CONTRIBUTING.md").read_text()
    path = ROOT.joinpath(*module.split("."))
    assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()


def test_contributing_names_files_that_exist():
    text = (ROOT / ".github" / "CONTRIBUTING.md").read_text()
    named = re.findall(r"`((?:flaxnoise|tests|bench|scripts)/[\w/.]*)`", text)
    assert len(named) > 5
    assert [path for path in named if not (ROOT / path).exists()] == []


def left_out(name: str) -> list[Path]:
    """Returns the paths in a list of .ci/run, of tests that one of its runs ignores."""
    text = (ROOT / ".ci" / "run").read_text()
    (paths,) = re.findall(rf"^{name}=\((.*?)^\)", text, re.M | re.S)
    command = ["bash", "-c", f"printf '%s\\n' {' '.join(paths.split())}"]
    named = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [ROOT / path for path in named.split()]


@pytest.mark.parametrize("name", ["first_only", "then_only"])
def test_tests_that_run_once_exist(name: str):
    """An option --ignore of pytest with a wrong path has no effect and no message."""
    named = left_out(name)
    assert len(named) > 8
    assert [path for path in named if not path.exists()] == []


def test_no_test_is_left_out_of_both_runs():
    of_first, of_second = left_out("then_only"), left_out("first_only")
    assert not [
        (one, other)
        for one in of_first
        for other in of_second
        if one.is_relative_to(other) or other.is_relative_to(one)
    ]
