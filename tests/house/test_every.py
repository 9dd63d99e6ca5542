"""A test of many cases fails for each case that fails, by its name, and runs the others."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

SUPPORT = Path(__file__).parents[1] / "support"
TESTS = """
import pytest
from every import every

@pytest.mark.parametrize("kind", ["a", "b"])
@every("rate", [0.0, 0.5, 1.0])
@every(("x", "y"), [(1, 2), (3, 4)], ids=["small", "large"])
def test_cases(x, y, rate, kind, tmp_path):
    assert (x, y) in [(1, 2), (3, 4)] and tmp_path.is_dir()
    if kind == "b" and rate == 0.5:
        pytest.skip("no half")
    assert (kind, rate, x) != ("a", 1.0, 3)
    assert (kind, rate) != ("b", 0.0)

@every("value", [float, float, {}, "text"])
def test_names(value):
    assert value == "text"
"""


def run(folder: Path, *options: str) -> str:
    (folder / "test_planted.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    command += ["--rootdir", ".", "-o", f"pythonpath={SUPPORT}", "test_planted.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout


def test_each_case_that_fails_is_named_and_the_others_run(tmp_path: Path):
    out = run(tmp_path, "-n", "1")
    assert set(re.findall(r"^SUBFAILED(.*?) - ", out, re.MULTILINE)) == {
        "[large-1.0] test_planted.py::test_cases[a]",
        "[small-0.0] test_planted.py::test_cases[b]",
        "[large-0.0] test_planted.py::test_cases[b]",
        "[float-0] test_planted.py::test_names",
        "[float-1] test_planted.py::test_names",
        "[value2] test_planted.py::test_names",
    }
    assert set(re.findall(r"^FAILED (.*?) - ", out, re.MULTILINE)) == {
        "test_planted.py::test_cases[a]",
        "test_planted.py::test_cases[b]",
        "test_planted.py::test_names",
    }
    assert "2 skipped, 8 subtests passed" in out


def test_the_option_chooses_tests_and_cases(tmp_path: Path):
    shutil.copy(SUPPORT.parent / "conftest.py", tmp_path)
    out = run(tmp_path, "-n", "0", "-vv", "--cases", "text|small")
    assert set(re.findall(r"SUBPASSED(\S+)", out)) == {
        "[small-0.5]",
        "[small-1.0]",
        "[small-0.0]",
        "[text]",
    }
    assert "3 failed" not in out
    assert "1 skipped" in out
