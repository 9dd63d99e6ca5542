"""The stored results cover the current cases, and goals.md says which goals are missed."""

import pathlib
from typing import Any

import jax

from bench import aot, goals, results
from bench.aot import attention
from bench.aot.cases import cases

RESULTS = results.FOLDER / "aot.jsonl"


def records() -> list[dict[str, Any]]:
    return results.read(RESULTS)


def _about(record: dict[str, Any]) -> tuple[str, tuple[int, ...], str]:
    return record["case"], tuple(record["shape"]), record["dtype"]


def test_it_has_a_record_for_each_case_and_device():
    expected = {
        (f"aot {device}", case.name, case.shape, case.dtype.name)
        for device in (*aot.GPUS, *aot.TPUS)
        for case in cases(device)
    }
    expected |= {
        (f"aot attention {device}", *_about(case.about))
        for device in attention.DEVICES
        for case in attention.cases(device)
    }
    compiled = results.of(records(), "compiled")
    found = {(r["suite"], *_about(r)) for r in compiled}
    if jax.__version_info__ < (0, 12):  # Mosaic GPU compiles normals from jax 0.12 on
        found = {row for row in found if "gaussian" not in row[1] or "mosaic_gpu" not in row[1]}
    assert found == expected


def test_every_goal_for_compiled_code_has_records_and_a_miss_says_why():
    own = results.of(records(), "compiled")
    for goal in goals.AHEAD_OF_TIME:
        numbers = [number for _, number in goals.reached(goal, own)]
        assert numbers, goal
        assert None not in numbers
        assert goal.why or all(n.median <= goal.most for n in numbers if n), goal


def test_the_table_of_goals_is_that_of_the_results():
    files = sorted(pathlib.Path(results.FOLDER).glob("*.jsonl"))
    everything = [record for file in files for record in results.read(file)]
    assert (results.FOLDER / "goals.md").read_text() == goals.table(everything)
