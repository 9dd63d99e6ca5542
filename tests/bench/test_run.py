"""The command line: what it writes, and how it exits on a wrong result."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench import __main__ as program
from bench import results

ROOT = Path(__file__).resolve().parents[2]
BLOCKED = """
import importlib, pkgutil, sys
for name in ("keras", "equinox", "haiku", "torch", "sklearn"):
    sys.modules[name] = None
import bench
for found in pkgutil.walk_packages(bench.__path__, "bench."):
    if not found.name.endswith(("__main__", "plot", "wheels", "bench.device")):
        importlib.import_module(found.name)
        print(found.name)
"""


def test_the_command_prints_tables_and_writes_results(tmp_path: Path):
    path = tmp_path / "results.jsonl"
    options = ["layers", "--quick", "--only", "copy", "--rounds", "3", "--threads", "1"]
    ran = subprocess.run(
        [sys.executable, "-m", "bench", *options, "--output", path],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    records = results.read(path)
    (run,) = results.of(records, "run")
    assert run["command"] == f"python -m bench {' '.join(options)} --output {path}"
    assert (run["suite"], run["threads"]) == ("layers", 1)
    assert run["load"] >= 0
    assert run["device"] in ran.stdout
    # The memory limits are timed in any case.
    assert {record["work"] for record in results.of(records)} == {"copy", "scale"}
    assert all(record["suite"] == "layers" for record in records)
    for record in results.of(records, "missing"):
        assert f"missing: {record['library']}" in ran.stdout


def test_a_wrong_result_fails_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    setting = {"shape": [1], "dtype": "float32", "direction": "forward", "mode": "jit"}
    names = {"work": "copy", "library": "jax", "variant": "", "suite": "layers", "threads": 1}
    wrong = {"record": "refused", **names, **setting, "reason": "no"}
    run = {"record": "run", "commit": "", "load": 0.0, "simd": "", "python": "", "versions": {}}
    run |= {"suite": "layers", "threads": 1, "device": "", "platform": "cpu"}
    monkeypatch.setattr(program, "_in_a_process", lambda *_: [run, wrong])
    with pytest.raises(SystemExit, match="Some results were wrong"):
        program.main(["layers", "--threads", "1", "--output", str(tmp_path / "a.jsonl")])
    assert "refused: copy, jax, 1 float32 forward jit: no" in capsys.readouterr().out


def test_every_module_imports_without_any_optional_library():
    ran = subprocess.run(
        [sys.executable, "-c", BLOCKED], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert {"bench.contenders", "bench.models", "bench.aot.cases"} <= {*ran.stdout.split()}
