"""The report on GPUs that are not here: compiled once, however many processes run the tests."""

import fcntl
import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
WHEELS = pathlib.Path(os.environ.get("FLAXNOISE_AOT_GPU", pathlib.Path(sys.prefix, "aot-gpu")))


def environment() -> dict[str, str]:
    """Of a process that sees the wheels; this one must not load a GPU's plugin."""
    tools = ":".join(map(str, WHEELS.glob("nvidia/cu*/bin")))
    own = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    return own | {
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": f"{ROOT}:{WHEELS}",
        "PATH": f"{tools}:{os.environ['PATH']}",
    }


def write_report(output: pathlib.Path) -> None:
    command = [sys.executable, ROOT / "scripts" / "aot_report.py", "--output", output]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope="session")
def gpu_wheels() -> dict[str, str]:
    """The environment of a process that sees the wheels."""
    if not (WHEELS / "jax_plugins").is_dir():
        pytest.skip(
            "the wheels jax-cuda13-plugin, jax-cuda13-pjrt, nvidia-cuda-nvcc and "
            f"nvidia-cuda-nvdisasm are not in {WHEELS}: run scripts/setup_aot.sh"
        )
    return environment()


@pytest.fixture(scope="session")
def rows(gpu_wheels: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    """The rows of the report."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    output = shared / "aot.json"
    with (shared / "aot.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not output.exists():
            write_report(output)
    return json.loads(output.read_text())["rows"]
