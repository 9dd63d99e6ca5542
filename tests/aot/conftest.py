"""Programs compiled for GPUs and TPUs ahead of time, once for all test processes."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench import aot, results
from compiled_for import devices

ROOT = aot.ROOT

Run = Callable[..., str]


def _run(kind: str, *command: str | Path) -> str:
    """Runs python in a process that has the wheels; this one must not load a device's plugin."""
    if reason := aot.missing(kind):
        pytest.skip(reason)
    environment = aot.environment(kind)
    environment["PYTHONPATH"] += f":{ROOT / 'tests' / 'support'}"
    done = subprocess.run(
        [sys.executable, *command],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="session")
def run() -> Run:
    """Returns (kind, *arguments of python) -> what it prints; kind is gpu or tpu."""
    return _run


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[dict[str, Any]]]:
    """Returns kind -> the records of the suite aot for its devices."""

    def records(kind: str) -> list[dict[str, Any]]:
        shared = tmp_path_factory.getbasetemp()
        if "PYTEST_XDIST_WORKER" in os.environ:
            shared = shared.parent
        output = shared / f"{kind}.jsonl"
        with (shared / f"{kind}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not output.exists():
                options = ("--devices", *devices(kind), "--output", output)
                _run(kind, "-m", "bench", "aot", *options)
        return results.of(results.read(output), "compiled")

    return records


@pytest.fixture(scope="session")
def rows(compiled: Callable[[str], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The records of GPUs; tests of TPUs override this fixture."""
    return compiled("gpu")


@pytest.fixture(scope="session")
def gpu_wheels() -> dict[str, str]:
    """The environment of a process that has the wheels for GPUs."""
    if reason := aot.missing("gpu"):
        pytest.skip(reason)
    return aot.environment("gpu")
