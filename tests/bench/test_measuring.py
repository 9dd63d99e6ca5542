"""What is timed, how samples are taken and summed up, and the command from end to end."""

import itertools
import math
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from bench import cases, entrants, measure, measurements, programs, timing
from bench.programs import Heat

ROOT = Path(__file__).resolve().parents[2]


def test_works_take_turns():
    order: list[str] = []
    works = [lambda: order.append("a"), lambda: order.append("b")]
    samples = timing.interleaved(works, rounds=4)
    assert [own.shape for own in samples] == [(4, 2), (4, 2)]
    turns = "".join(order).lstrip("a").lstrip("b")  # the warm calls of each come first
    changes = sum(one != other for one, other in itertools.pairwise(turns))
    assert changes == 7  # four samples of each, in turn


def test_cpu_time_is_that_of_work_and_wall_time_that_of_waiting():
    import time

    def busy() -> None:
        end = time.process_time() + 0.02
        while time.process_time() < end:
            pass

    (asleep, working) = timing.interleaved([lambda: time.sleep(0.02), busy], rounds=3)
    assert (asleep[:, 0] >= 0.02).all()
    assert np.median(asleep[:, 1]) < 0.01
    assert (working[:, 1] >= 0.02).all()


@pytest.mark.parametrize("count", [6, 9, 15, 40, 101])
def test_interval_of_the_median_holds_it_in_95_of_100_cases(count: int):
    ordered = np.arange(count, dtype=float)
    found = timing.spread(np.random.default_rng(0).permutation(ordered))

    def coverage(rank: int) -> float:
        """That the median is between the rank-th least and the rank-th largest of the samples."""
        return 1 - 2 * sum(math.comb(count, k) for k in range(rank)) / 2**count

    rank = int(found.low) + 1
    assert found.high == count - rank
    assert coverage(rank) >= 0.95 > coverage(rank + 1)
    assert found.median == (count - 1) / 2


def test_a_heat_has_a_record_for_everyone():
    heat = Heat((8, 128), direction="gradient")
    everyone, _ = entrants.everyone("cpu")
    wanted = ("copy", "dropout", "gaussian_noise")
    few = [e for e in everyone if e.work in wanted and e.library in ("jax", "flaxnoise", "numpy")]
    told: list[str] = []
    records = list(measure.measure(heat, few, 3, 1, told.append))
    assert len(told) == len(records) == len(few)
    absent = [record for record in records if record["record"] == "absent"]
    assert {(r["library"], r["reason"]) for r in absent} == {("numpy", "has no gradients")}
    for record in measurements.of(records, "time"):
        assert record["samples"] == 3
        assert 0 < record["wall"]["low"] <= record["wall"]["median"] <= record["wall"]["high"]
        assert record["compile"] > 0
    identities = [measurements.identity(record) for record in records]
    assert len(set(identities)) == len(identities)


def test_nothing_is_kept_by_ours_and_what_others_keep_is_counted():
    key, x = jax.random.key(0), Heat((64, 64)).x()
    ours = {case.work: case.function for case in cases.CASES}
    assert programs.kept(ours["dropout"], key, x) == 0
    assert programs.kept(lambda key, x: x * jax.random.normal(key, x.shape), key, x) == 4


def test_donated_memory_is_used_again():
    heat = Heat((64, 64), mode="donated")
    program = programs.jax_program(lambda key, x: x + 1, heat)
    first = program.run()
    program.run()
    assert first.is_deleted()
    np.testing.assert_array_equal(program.arrays()[0], heat.x() + 1)


def test_the_command_prints_tables_and_writes_results(tmp_path: Path):
    path = tmp_path / "results.jsonl"
    command = [sys.executable, "-m", "bench", "--quick", "--only", "copy", "--rounds", "3"]
    ran = subprocess.run(
        [*command, "--output", path], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert ran.returncode == 0, ran.stderr
    records = measurements.read(path)
    (run,) = measurements.of(records, "run")
    assert run["settings"] == {"quick": True, "rounds": 3, "only": "copy"}
    assert run["device"] in ran.stdout
    # The limits are timed whatever else is.
    assert {record["work"] for record in measurements.of(records, "time")} == {"copy", "scale"}
    assert "x * 1.25" in ran.stdout
    for record in measurements.of(records, "missing"):
        assert f"missing: {record['library']}" in ran.stdout
