"""Runs scripts/train_distributed.py in processes that never outlive the test."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TRAIN = ROOT / "scripts" / "train_distributed.py"
SECONDS = 240  # for a few seconds of work, on a loaded machine


def environment(**added: str) -> dict[str, str]:
    """Returns the environment without the tests' own settings of jax."""
    own = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "XLA_", "FLAXNOISE_"))}
    folders = os.pathsep.join([str(ROOT), str(TRAIN.parent)])
    return {**own, "PYTHONPATH": folders, "JAX_PLATFORMS": "cpu", **added}


@contextlib.contextmanager
def started(
    commands: Sequence[Sequence[Any]], environments: Sequence[dict[str, str]] = ()
) -> Iterator[list[subprocess.Popen]]:
    """Starts python processes with these arguments; kills them when the block exits."""
    environments = environments or [environment()] * len(commands)
    processes = [
        subprocess.Popen(
            [sys.executable, "-u", *map(str, command)],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        for command, env in zip(commands, environments, strict=True)
    ]
    try:
        yield processes
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            process.stdout.close()


def finish(processes: Sequence[subprocess.Popen]) -> None:
    """Waits for all processes; a failure is reported with the process's output."""
    for process in processes:
        output, _ = process.communicate(timeout=SECONDS)
        assert process.returncode == 0, output


def train(losses: Path, *arguments: Any, **added: str) -> dict[str, Any]:
    """Trains in one process: {first: step, losses: [...], accuracy: share}."""
    with started([[TRAIN, "--losses", losses, *arguments]], [environment(**added)]) as processes:
        finish(processes)
    return json.loads(losses.read_text())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
