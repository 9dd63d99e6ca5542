"""Wrong numbers are refused, right ones are not, and what is refused is not timed."""

import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bench import cases, gate, laws, measure, rivals
from bench.entrants import Entrant
from bench.gate import WrongError
from bench.programs import Heat, Program, jax_program

ROOT = Path(__file__).resolve().parents[2]
FLAT, MAPS = Heat((33, 129, 16)), Heat((32, 9, 11, 64))
RNG = np.random.default_rng(5)
X = FLAT.x().astype(np.float64)
KEEP = RNG.random(X.shape) >= laws.RATE
NORMAL = RNG.standard_normal(X.shape)


@pytest.mark.parametrize("direction", ["forward", "gradient"])
@pytest.mark.parametrize("case", cases.CASES, ids=lambda case: case.work)
def test_our_results_obey_their_law(case: cases.Case, direction: str):
    if case.work in measure.WITHOUT_GRADIENT:
        direction = "forward"
    heat = (MAPS if case.work in measure.OF_MAPS else FLAT)._replace(direction=direction)
    program = cases.builder(case, cases.backends("cpu")[0])(heat)
    measure.test(case.work, heat, program)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_rounding_to_narrow_dtypes_is_allowed(dtype: str):
    for case in cases.CASES[:2]:
        heat = FLAT._replace(dtype=dtype, direction="gradient")
        measure.test(case.work, heat, jax_program(case.function, heat))


def test_laws_are_those_of_plain_numpy():
    gate.check(laws.LAWS["dropout"], "float32", X, X * KEEP / 0.9, X, X * KEEP / 0.9)
    noisy = X + laws.STDDEV * NORMAL
    gate.check(laws.LAWS["gaussian_noise"], "float32", X, noisy, X, X)


WRONG = {
    "drops too much": ("dropout", X * (RNG.random(X.shape) >= 0.12) / 0.9, "share of value 0"),
    "does not scale": ("dropout", X * KEEP, "a value is off"),
    "scales to the wrong rate": ("dropout", X * KEEP / 0.89, "a value is off"),
    "uses every word twice": (
        "dropout",
        X * np.repeat(KEEP.ravel()[::2], 2)[: X.size].reshape(X.shape) / 0.9,
        "elements 1 apart",
    ),
    "repeats its first half": (
        "dropout",
        X * np.resize(KEEP.ravel()[: X.size // 2], X.shape) / 0.9,
        f"elements {X.size // 2} apart",
    ),
    "is too large": ("gaussian_noise", X + 1.05 * laws.STDDEV * NORMAL, "variance"),
    "is off centre": ("gaussian_noise", X + laws.STDDEV * (NORMAL + 0.05), "mean"),
    "multiplies instead of adding": ("gaussian_noise", X * (1 + 0.3 * NORMAL), "variance"),
    "is not finite": ("normal", np.where(X > 1.999, np.inf, NORMAL), "finite"),
    "changes nothing": ("alpha_dropout", X, "a value is off"),
    "copies something else": ("copy", X + 1e-3, "a value is off"),
    "forgets a row": ("scale", 1.25 * X[:-1], "the shape"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_result_is_refused(name: str):
    work, y, reason = WRONG[name]
    with pytest.raises(WrongError, match=reason):
        gate.check(laws.LAWS[work], "float32", X, y, None, None)


def test_a_wrong_gradient_is_refused():
    y = X * KEEP / 0.9
    other = X * np.roll(KEEP, 1) / 0.9
    with pytest.raises(WrongError, match="the gradient is off"):
        gate.check(laws.LAWS["dropout"], "float32", X, y, X, other)
    with pytest.raises(WrongError, match="the gradient is off"):
        gate.check(laws.LAWS["gaussian_noise"], "float32", X, X + 0.3 * NORMAL, X, 1.01 * X)


def test_normals_of_jax_are_refused_in_bfloat16_as_the_table_says():
    heat = Heat((512, 1024), "bfloat16")
    noisy = jax_program(
        lambda key, x: x + jnp.bfloat16(laws.STDDEV) * jax.random.normal(key, x.shape, x.dtype),
        heat,
    )
    with pytest.raises(WrongError, match=r"the mean is -0\.01"):
        measure.test("gaussian_noise", heat, noisy)
    normal = jax.random.normal(jax.random.key(1), heat.shape, jnp.bfloat16)
    assert jnp.abs(normal).max() < 2.9
    (row,) = (r for r in rivals.RIVALS if (r.work, r.library) == ("gaussian_noise", "jax"))
    with pytest.raises(NotImplementedError, match="is wrong in bfloat16"):
        row.build(heat)


def test_a_mask_must_be_shared_by_a_feature_map():
    x = MAPS.x()
    y = x * (RNG.random(x.shape) >= laws.RATE) / 0.9
    with pytest.raises(WrongError, match="the noise differs along"):
        gate.check(laws.LAWS["spatial_dropout"], "float32", x, y, None, None)


def test_what_is_dropped_must_fill_blocks_and_be_made_up_for():
    heat, law = MAPS, laws.LAWS["drop_block"]
    (case,) = (case for case in cases.CASES if case.work == "drop_block")
    x = heat.x()
    (y,) = cases.builder(case, "xla")(heat).arrays()
    gate.check(law, "float32", x, y, None, None)
    fewer = y.copy()
    hole = np.argwhere(y == 0)[0]
    fewer[tuple(hole)] = y[:, hole[1], hole[2]].max()
    for wrong, message in [
        (fewer, "differs in its factor|does not fill blocks"),
        (np.where(RNG.random(x.shape) < 0.01, 0, y), "does not fill blocks"),
        (np.where(y == 0, y, x), "the mean is"),
        (np.where(RNG.random(x.shape) < 0.5, y, 1.1 * y), "differs in its factor"),
    ]:
        with pytest.raises(WrongError, match=message):
            gate.check(law, "float32", x, wrong, None, None)


def test_what_acts_backward_must_leave_y_alone_and_change_dx():
    law = laws.LAWS["gradient_noise"]
    noisy = X + laws.STDDEV * NORMAL
    gate.check(law, "float32", X, X, X, noisy)
    with pytest.raises(WrongError, match="y is not x"):
        gate.check(law, "float32", X, noisy, X, noisy)
    with pytest.raises(WrongError, match="the variance"):
        gate.check(law, "float32", X, X, X, X + 1.05 * laws.STDDEV * NORMAL)
    with pytest.raises(WrongError, match="a value is off"):
        gate.check(laws.LAWS["stop_gradient"], "float32", X, X, X, 0.01 * X)


def test_large_results_are_tested_at_their_end_too():
    heat = Heat((measure.PIECE // 64, 64 * 5))
    x = heat.x()
    y = x * np.float32(laws.FACTOR)
    measure.test("scale", heat, Program(lambda: None, lambda: (y,), {}))
    y[-1, -1] = 0
    with pytest.raises(WrongError):
        measure.test("scale", heat, Program(lambda: None, lambda: (y,), {}))


def test_what_is_refused_is_not_timed():
    calls = []

    def build(heat: Heat) -> Program:
        return Program(lambda: calls.append(1), lambda: (heat.x() * 2,), {})

    entrants = [Entrant("copy", "bad", "", build)]
    records = list(measure.measure(FLAT, entrants, 3, 1, lambda what: None))
    assert [record["record"] for record in records] == ["refused"]
    assert "a value is off" in records[0]["reason"]
    assert not calls


def test_a_library_that_fails_is_listed_and_keeps_nobody_from_running():
    def build(heat: Heat) -> Program:
        raise TypeError("no such\nargument")

    def unable(heat: Heat) -> Program:
        raise NotImplementedError("has no gradients")

    entrants = [
        Entrant("copy", "broken", "", build),
        Entrant("copy", "unable", "", unable),
        Entrant("copy", "fine", "", lambda heat: jax_program(lambda key, x: x + 0, heat)),
    ]
    records = list(measure.measure(FLAT, entrants, 3, 1, lambda what: None))
    assert [(r["record"], r["library"], r.get("reason")) for r in records] == [
        ("refused", "broken", "TypeError: no such argument"),
        ("absent", "unable", "has no gradients"),
        ("time", "fine", None),
    ]


WRONG_RUN = """
import sys
from pathlib import Path
from bench import __main__ as program, laws
from bench.measurements import write

def refused(chosen, threads):
    return [{"record": "refused", "work": "copy", "library": "jax", "variant": "", "shape": [1],
             "dtype": "float32", "pass": "forward", "mode": "jit", "threads": 1, "reason": "no"}]

program.in_a_process = refused
sys.argv = ["bench", "--output", sys.argv[1], "--threads", "1"]
program.main()
"""


def test_a_wrong_result_fails_the_run(tmp_path):
    command = [sys.executable, "-c", WRONG_RUN, str(tmp_path / "results.jsonl")]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert ran.returncode == 1, ran.stderr
    assert "Some results were wrong" in ran.stderr
    assert "wrong: copy, jax" in ran.stdout
