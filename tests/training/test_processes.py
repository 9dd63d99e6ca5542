"""Several processes give the losses of a single one."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from processes import SECONDS, TRAIN, environment, finish, free_port, started

STEPS = 8
# Means over the batch and matrix products are summed in different order: float32 roundings, 2^-24
# each, of up to a hundred terms, which carry over through steps of Adam without growth.
ROUNDINGS = 100 * 2.0**-24 * STEPS


def assert_same_run(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert len(found["losses"]) == STEPS
    np.testing.assert_allclose(found["losses"], expected["losses"], rtol=ROUNDINGS)
    # A prediction changes only if two classes are equal up to such roundings: at most one image of
    # 797.
    assert found["accuracy"] == pytest.approx(expected["accuracy"], abs=1.01 / 797)


@pytest.mark.parametrize(("count", "by_environment"), [(2, False), (4, True)])
def test_processes_train_as_one(
    count: int, by_environment: bool, tmp_path: Path, uninterrupted: dict[str, Any]
):
    """Each process has some of the four devices; its id comes from arguments or environment."""
    losses, address = tmp_path / "losses.json", f"127.0.0.1:{free_port()}"
    common = [TRAIN, "--devices", 4 // count, "--steps", STEPS, "--losses", losses]
    commands, environments = [], []
    for number in range(count):
        names = {"coordinator-address": address, "num-processes": count, "process-id": number}
        if by_environment:
            upper = {f"JAX_{k.upper().replace('-', '_')}": str(v) for k, v in names.items()}
            commands.append(common)
            environments.append(environment(**upper))
        else:
            joining = ["--coordinator", address, "--processes", count, "--process-id", number]
            commands.append([*common, *joining])
            environments.append(environment())
    with started(commands, environments) as processes:
        finish(processes)
    assert_same_run(json.loads(losses.read_text()), uninterrupted)


def test_half_of_an_address_is_an_error():
    with started([[TRAIN, "--coordinator", "127.0.0.1:1"]]) as (process,):
        output, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 2
    assert "belong together" in output
