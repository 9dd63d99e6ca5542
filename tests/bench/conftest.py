"""Makes small results files."""

from typing import Any

import pytest

Records = list[dict[str, Any]]
SQUARE, STEP = [1024, 1024], [8, 128]
STEADY = [1.0, 0.98, 1.01, 0.99, 1.02, 1.0, 0.97, 1.03, 1.0, 1.01]
# Work, library, variant and milliseconds per call; all are in the same row of a suite.
LAYERS = (
    ("dropout", "flaxnoise", "cpu", 2.0),
    ("gaussian_noise", "flaxnoise", "cpu", 4.0),
    ("scale", "jax", "x * 1.25", 1.0),
    ("copy", "jax", "copy", 1.0),
    ("dropout", "flax.linen", "threefry2x32", 20.0),
    ("gaussian_noise", "jax.random", "threefry2x32", 40.0),
)
MODEL = (("none", "", 100.0), ("flax.linen", "threefry2x32", 140.0), ("flaxnoise", "kernel", 104.0))


@pytest.fixture
def made_up() -> Records:
    """Results of the suites layers and models, from an idle machine and a clean commit."""
    records: Records = []
    for suite, threads in (("layers", 2), ("layers", 1), ("models", 2)):
        row = 0
        about = {"suite": suite, "threads": threads}
        run = {
            "record": "run",
            **about,
            "command": "python -m bench all",
            "commit": "0123456789ab",
            "load": 0.1,
            "platform": "cpu",
            "device": "Abacus 9",
            "simd": "avx2",
            "python": "3.11.7",
            "versions": {"jax": "0.10.2", "flax": "0.12.8"},
        }
        records.append(run)
        if suite == "models":
            step = {"shape": STEP, "dtype": "float32", "direction": "training step", "mode": "jit"}
            records += [timed("transformer", *names, about | step | {"row": 0}) for names in MODEL]
            continue
        for direction in ("forward", "gradient"):
            for shape in ([256, 1024], SQUARE):
                setting = {"shape": shape, "dtype": "float32", "direction": direction}
                setting |= {"mode": "jit", "row": row}
                records += [timed(*names, about | setting) for names in LAYERS]
                row += 1
    return records


def timed(
    work: str, library: str, variant: str, milliseconds: float, about: dict[str, Any]
) -> dict[str, Any]:
    seconds = [milliseconds * 1e-3 * sample for sample in STEADY]
    names = {"work": work, "library": library, "variant": variant}
    clocks = {"wall": seconds, "cpu": [2 * value for value in seconds]}
    return {"record": "time", **about, **names, **clocks, "kept": 0.0}
