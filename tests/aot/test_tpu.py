"""The kernel for TPUs: compiled ahead of time and the bundles of its loop counted, not run.

A bundle is what a core issues in one cycle. On v5e, memory takes the time of 15 bundles to read and
write 1024 float32 elements.
"""

import pathlib
from collections.abc import Callable

import pytest

from compiled_for import devices
from flaxnoise.stream.kinds import KINDS

EDGES = pathlib.Path(__file__).with_name("tpu_edges.py")
ATTENTION = pathlib.Path(__file__).with_name("tpu_attention.py")
DEVICES = devices("tpu")
SQUARE, ROWS_OF_768, ROWS_OF_512 = (1024, 1024), (1024, 768), (1024, 512)
ROWS_OF_516 = (1024, 516)
ONE_ROW, FEW_ROWS = (1 << 20,), (4, 1 << 17)

# Case, dtype, shape → bundles per 1024 elements on v5e. A block of Philox takes 20 products of 12
# or 13 operations on 16-bit halves and 36 other operations (in the first two rounds half of the
# counter is scalar): 65 bundles of four operations, more where products limit. A mask takes 8
# elements from a block if rows are whole chunks, alone or together; everything else takes 4. The
# rest are lane permutations (a rotation, two selects, a gather), the formula, loads and stores, and
# for normals a logarithm, a root, a sine and a cosine per two elements. The budgets leave a tenth
# for another compiler's schedule.
BUDGETS = {
    ("dropout", "float32", SQUARE): 14.5,  # the goal was 20
    ("dropout", "bfloat16", SQUARE): 15,
    ("dropout, gradient", "float32", SQUARE): 14.5,
    # Examples of few rows, so the steps of the grid fill the bundles less.
    ("dropout, a key per example", "float32", (16, 64, 1024)): 16,
    ("dropout", "float32", ROWS_OF_768): 14.5,
    ("dropout", "bfloat16", ROWS_OF_768): 15,
    ("dropout", "float32", ROWS_OF_512): 16,
    # Reshaped into rows of chunks, and back if two-dimensional: XLA copies x and y.
    ("dropout", "float32", ONE_ROW): 16.5,
    ("dropout", "float32", FEW_ROWS): 25.5,
    # Above the goal: rows end inside a tile, a block serves 4 elements, and XLA copies x and y.
    ("dropout", "float32", ROWS_OF_516): 33,
    ("gaussian_noise", "float32", SQUARE): 36,
    ("gaussian_noise", "bfloat16", SQUARE): 36.5,
    ("gaussian_dropout", "float32", SQUARE): 36,
    ("masked_gaussian_noise", "float32", SQUARE): 46.5,  # both generators
}
# The same relative to v5e. Cores of the others issue as much, but v4 has no 32-bit multiplication:
# each of the 90 products of a block takes some 7 bundles.
SHARES = {"v4": 7.2, "v5e": 1, "v5p": 1.05, "v6e": 1, "tpu7x": 1}


@pytest.fixture(scope="module")
def rows(compiled: Callable[[str], list[dict]]) -> list[dict]:
    return compiled("tpu")


def bundles(rows: list[dict], device: str, case: str, dtype: str, shape: tuple) -> float:
    (row,) = (
        r
        for r in rows
        if (r["suite"], r["case"], r["dtype"], tuple(r["shape"]))
        == (f"aot {device}", case, dtype, shape)
    )
    assert row["kernels"] >= 1, row
    return row["bundles"]


@pytest.mark.parametrize("device", DEVICES)
def test_every_function_is_within_its_budget(rows: list[dict], device: str):
    found = {of: bundles(rows, device, *of) for of in BUDGETS}
    over = {of: n for of, n in found.items() if n > BUDGETS[of] * SHARES[device]}
    assert not over, over


@pytest.mark.parametrize("device", DEVICES)
def test_dropout_is_one_kernel_that_keeps_no_array(rows: list[dict], device: str):
    """A few registers may be spilled, which the bundles include; no array may be kept."""
    own = [r for r in rows if (r["suite"], r["case"]) == (f"aot {device}", "dropout")]
    in_place = [row for row in own if row["shape"][0] == 1024 and row["shape"][-1] % 128 == 0]
    assert in_place
    for row in in_place:
        size = row["shape"][0] * row["shape"][1] * (4 if row["dtype"] == "float32" else 2)
        assert row["kernels"] == 1, row
        assert row["temporary"] < size / 8, row


@pytest.mark.parametrize("device", DEVICES)
def test_the_kernel_is_chosen_because_it_beats_the_xla_form(rows: list[dict], device: str):
    """It gains more than the passes through memory that XLA's fusion saves, at most 30 bundles."""
    for case, dtype in (("dropout", "float32"), ("gaussian_noise", "float32")):
        ours = bundles(rows, device, case, dtype, SQUARE)
        assert ours + 30 < bundles(rows, device, f"{case}, xla form", dtype, SQUARE)


@pytest.mark.parametrize("device", DEVICES)
def test_the_count_knows_what_is_known(rows: list[dict], device: str):
    """A multiplication takes a load and a store, so one bundle, or half of one if packed.

    Loops that are not unrolled take some bundles more.
    """
    for dtype in ("float32", "bfloat16"):
        assert 0.4 <= bundles(rows, device, "multiply", dtype, SQUARE) <= 2.5


@pytest.mark.parametrize("device", DEVICES)
def test_every_kind_and_the_edges_compile(run: Callable[..., str], device: str):
    """All terms and dtypes, few rows, ragged rows and columns, shards with 64-bit indices."""
    lines = run("tpu", EDGES, device).splitlines()
    assert {line.split()[0] for line in lines} == {*KINDS}
    assert all("flaxnoise_" in line for line in lines), lines


@pytest.mark.parametrize("device", DEVICES)
def test_both_passes_of_attention_compile(run: Callable[..., str], device: str):
    lines = run("tpu", ATTENTION, device).splitlines()
    assert len(lines) == 3
    for line in lines:
        assert [name.split(".")[0] for name in line.split()] == [
            "flaxnoise_attention",
            "flaxnoise_attention_backward",
        ]


def test_keys_of_ours_cost_flaxs_dropout_less_than_all_but_the_hardwares(rows: list[dict]):
    """The kernel draws the words, 18 bundles per 1024; a fusion of XLA applies the mask."""
    found = {
        impl: bundles(rows, "v5e", f"flax.linen.Dropout, {impl}", "float32", SQUARE)
        for impl in ("flaxnoise", "threefry2x32", "philox2x32", "philox4x32", "rbg")
    }
    assert found["flaxnoise"] <= 25.5
    assert found["rbg"] < found["flaxnoise"]
    for impl, least in (("threefry2x32", 1.4), ("philox2x32", 2.4), ("philox4x32", 4)):
        assert found[impl] >= least * found["flaxnoise"], impl
