"""Everything has a row, and nothing that is absent is left out silently."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import flaxnoise
from bench import cases, entrants, laws, measure, modules, rivals
from cases import CASES

ROOT = Path(__file__).resolve().parents[2]
OPTIONAL = ("keras", "equinox", "haiku", "torch", "sklearn")


def test_every_elementwise_function_has_a_row():
    missing = {case.name for case in CASES} - {case.work for case in cases.CASES}
    assert not missing, f"add a row to bench/cases.py, and a law to bench/laws.py, for {missing}"


def test_a_function_without_a_row_is_noticed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cases, "CASES", cases.CASES[1:])
    with pytest.raises(AssertionError, match=r"add a row to bench/cases.py.*'dropout'"):
        test_every_elementwise_function_has_a_row()


def test_every_work_is_a_law_and_is_timed():
    works = {row.work for row in (*cases.CASES, *rivals.RIVALS)}
    assert works == set(laws.LAWS)
    for direction in ("forward", "gradient"):
        timed = {work for heat, own in measure.HEATS for work in own if heat.direction == direction}
        assert works - timed == (set() if direction == "forward" else set(measure.WITHOUT_GRADIENT))


def test_fresh_results_are_of_16_mb_at_most():
    for heat, _ in (*measure.HEATS, *measure.QUICK):
        size = heat.elements * (4 if heat.dtype == "float32" else 2)
        assert size <= 16 << 20 or heat.mode == "donated"


def test_rivals_are_those_that_users_have():
    listed = {(rival.library, rival.variant) for rival in rivals.RIVALS}
    for layer in ("flax.linen", "flax.nnx"):
        for key in ("threefry2x32", "rbg", "philox2x32", "philox4x32"):
            assert (layer, key) in listed
    for layer in (
        "Dropout",
        "GaussianDropout",
        "GaussianNoise",
        "AlphaDropout",
        "SpatialDropout2D",
    ):
        assert ("keras", layer) in listed
    libraries = {library for library, _ in listed}
    assert libraries == set(modules.NAMES)


@pytest.mark.parametrize("gone", sorted(modules.NAMES))
def test_a_library_that_is_not_installed_is_listed_as_missing(
    gone: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, modules.NAMES[gone], None)
    there, missing = entrants.everyone("cpu")
    reasons = {record["library"]: record["reason"] for record in missing}
    assert "import" in reasons[gone] or "No module" in reasons[gone]
    accounted = {entrant.library for entrant in there} | set(reasons)
    assert {rival.library for rival in rivals.RIVALS} <= accounted
    assert gone not in {entrant.library for entrant in there}


def test_every_rival_that_is_installed_takes_part():
    there, missing = entrants.everyone("cpu")
    gone = {record["library"] for record in missing}
    expected = [
        (rival.work, rival.library, rival.variant)
        for rival in rivals.RIVALS
        if rival.library not in gone
    ]
    assert [entrant[:3] for entrant in there if entrant.library != "flaxnoise"] == expected


def test_each_of_our_backends_takes_part_or_is_missing():
    there, missing = entrants.everyone("cpu")
    ours = {entrant.variant for entrant in there if entrant.library == "flaxnoise"}
    gone = {record["library"] for record in missing}
    serving = {name for name in flaxnoise.backends() if cases.serves(name, "cpu")}
    assert "xla" in ours
    assert ours | {name for name in serving if f"flaxnoise ({name})" in gone} == serving


BLOCKED = f"""
import importlib, pkgutil, sys
for name in {OPTIONAL!r}:
    sys.modules[name] = None
import bench
for found in pkgutil.walk_packages(bench.__path__, "bench."):
    if found.name not in ("bench.__main__", "bench.scaling"):
        importlib.import_module(found.name)
        print(found.name)
"""


def test_every_module_imports_without_any_rival():
    command = [sys.executable, "-c", BLOCKED]
    ran = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert {"bench.rivals", "bench.hosts", "bench.models", "bench.guard"} <= set(ran.stdout.split())
