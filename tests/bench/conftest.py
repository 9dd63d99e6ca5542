"""Lets the tests import bench as `python -m bench` does, and makes small results files."""

import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

sys.path.insert(0, str(ROOT))


def timed(work: str, library: str, variant: str, **given: Any) -> dict[str, Any]:
    """A made-up ``time`` record of 1 Mi elements; times in milliseconds a call."""
    wall, cpu = given.pop("wall", 2.0), given.pop("cpu", 3.0)
    record = {
        "record": "time",
        "work": work,
        "library": library,
        "variant": variant,
        "shape": [1024, 1024],
        "dtype": "float32",
        "pass": "forward",
        "mode": "jit",
        "threads": 1,
        **given,
    }
    elements = 1
    for size in record["shape"]:
        elements *= size
    clocks = {
        clock: {
            "median": value / 1e3,
            "low": value / 1.25e3,
            "high": value / 0.8e3,
            "quartiles": [value / 1.1e3, value / 0.9e3],
        }
        for clock, value in (("wall", wall), ("cpu", cpu))
    }
    facts = {"moved": 8 * elements, "temporary": 0, "compile": 0.1, "kept": 4.0}
    return record | {"elements": elements, "samples": 15} | clocks | facts


@pytest.fixture
def made_up() -> list[dict[str, Any]]:
    """Records of two numbers of threads, with everything that pictures and README show."""
    records: list[dict[str, Any]] = []
    for threads in (1, 2):
        records.append(
            {
                "record": "run",
                "threads": threads,
                "time": "2026-01-02T03:04:05+00:00",
                "commit": "0123456789ab",
                "platform": "cpu",
                "device": "Abacus 9",
                "cores": threads,
                "simd": "avx2",
                "python": "3.11.7",
                "versions": {"jax": "0.10.2", "flax": "0.12.8"},
                "settings": {"quick": False, "rounds": 15, "only": ""},
                "load": 0.5,
            }
        )
    records.append({"record": "missing", "library": "torch", "reason": "No module named 'torch'"})
    rows = (
        ("copy", "jax", "copy", 1.0, 1.0),
        ("scale", "jax", "x * 1.25", 1.0, 1.0),
        ("dropout", "flaxnoise", "cpu", 2.0, 3.0),
        ("dropout", "flax.linen", "threefry2x32", 20.0, 36.0),
        ("gaussian_noise", "flaxnoise", "cpu", 4.0, 5.0),
        ("gaussian_noise", "jax", "random.normal", 40.0, 50.0),
    )
    for threads in (1, 2):
        for work, library, variant, wall, cpu in rows:
            for shape in ([256, 1024], [1024, 1024], [4096, 1024]):
                given = {"wall": wall * shape[0] / 1024, "cpu": cpu * shape[0] / 1024}
                given |= {"shape": shape, "threads": threads}
                records.append(timed(work, library, variant, **given))
            records.append(
                timed(work, library, variant, wall=wall, threads=threads, **{"pass": "gradient"})
            )
        for library, cpu in (("none", 6.0), ("flax.linen", 12.0), ("flaxnoise", 8.0)):
            step = {"pass": "training step", "shape": [8, 64], "threads": threads, "cpu": cpu}
            records.append(timed("mlp on digits", library, "", **step) | {"elements": 1})
    return records
