"""The report that is in the repository is of the cases that the script compiles now."""

import json
import pathlib
import sys

import jax
import pytest

ROOT = pathlib.Path(__file__).parents[2]
RESULTS = ROOT / "bench" / "results"


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(ROOT / "scripts"), *sys.path])


def rows() -> list[dict]:
    return json.loads((RESULTS / "aot.json").read_text())["rows"]


@pytest.mark.usefixtures("scripts")
def test_it_has_a_row_for_each_case_and_device():
    from aot import cases, gpu, tpu, tpu_report

    expected = {
        (device, case.name, case.shape, case.dtype.name)
        for devices, own in ((gpu.DEVICES, cases.CASES), (tpu.DEVICES, tpu_report.CASES))
        for case in own
        for device in devices
        if not case.only or device in case.only
    }
    found = {(r["device"], r["case"], tuple(r["shape"]), r["dtype"]) for r in rows()}
    if jax.__version_info__ < (0, 12):  # whose Mosaic GPU compiles no normals
        found = {row for row in found if "gaussian" not in row[1] or "mosaic_gpu" not in row[1]}
    assert found == expected


@pytest.mark.usefixtures("scripts")
def test_the_goals_are_those_of_the_rows():
    from aot import goals

    assert (RESULTS / "aot_goals.md").read_text() == goals.table(rows())


@pytest.mark.usefixtures("scripts")
def test_every_goal_that_is_missed_says_why():
    from aot import goals

    table = goals.table(rows())
    assert table.count("| met |") > 20
    assert "missed:" in table
    assert "missed: |" not in table
