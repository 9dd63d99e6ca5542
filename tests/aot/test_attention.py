"""What attention with dropout compiles to for H100; counted, not run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench import results
from bench.aot import attention

# Kernels in one pass of the loops of forward and backward pass. Large ones are two and five
# products, the softmax and mask of each loop, a maximum, two sums and two updates; the rest compute
# indices. jax 0.12 takes 34.
MOST_KERNELS = 40
MIB = 2**20


@pytest.fixture(scope="module")
def rows(run: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    output = tmp_path_factory.mktemp("attention") / "aot.jsonl"
    only = f"{attention.BLOCKWISE}, gradient"
    run(
        "gpu",
        "-m",
        "bench",
        "aot-attention",
        "--devices",
        "h100",
        "--only",
        only,
        "--output",
        output,
    )
    return results.of(results.read(Path(output)), "compiled")


def test_the_gradient_holds_no_array_of_all_weights(rows: list[dict[str, Any]]):
    long = next(row for row in rows if row["shape"][1] == 8192)
    weights = 2 * attention.HEADS * 8192**2 / MIB  # bfloat16
    assert long["temporary"] < 0.4 * weights, long


def test_temporaries_grow_slower_than_the_array_of_weights(rows: list[dict[str, Any]]):
    short, long = (next(r for r in rows if r["shape"][1] == length) for length in (2048, 8192))
    assert long["temporary"] / short["temporary"] < 4 < (8192 / 2048) ** 2


def test_a_tile_takes_few_kernels(rows: list[dict[str, Any]]):
    for row in rows:
        assert 10 < row["tile_kernels"] <= MOST_KERNELS, row
        assert row["tile_moved"] > 0
        assert row["kernels"] > row["tile_kernels"]


def test_naive_attention_would_fail_these_tests(stored: list[dict[str, Any]]):
    naive = [r for r in stored if r["case"] == f"{attention.NAIVE}, gradient"]
    assert {r["suite"] for r in naive} == {"aot attention h100", "aot attention v5e"}
    for row in naive:
        weights = 2 * attention.HEADS * row["shape"][1] ** 2 / MIB
        assert row["temporary"] > weights, row
        assert row["tile_kernels"] == 0


def test_the_kernels_draw_a_weight_of_the_mask_in_12_instructions(stored: list[dict[str, Any]]):
    """By the difference to the kernels without dropout; Flax's generator takes 80 an element."""
    found = {(r["case"], r["shape"][1]): r["instructions"] for r in stored if "instructions" in r}
    for gradient, length in (("", 1024), (", gradient", 2048)):
        own = found[attention.KERNEL + gradient, length]
        without = found[attention.WITHOUT_DROPOUT + gradient, length]
        assert own.keys() == without.keys()
        assert len(own) == (3 if gradient else 1)
        for name, instructions in own.items():
            weights = 32 if "_dq_" in name or "_dkv_" in name else 64
            assert 5 < (instructions - without[name]) / weights < 12.5, name


def test_the_kernels_hold_and_move_less_than_the_loops(stored: list[dict[str, Any]]):
    own, loops = (
        next(r for r in stored if r["case"] == f"{name}, gradient" and r["shape"][1] == 8192)
        for name in (attention.KERNEL, attention.BLOCKWISE)
    )
    assert own["temporary"] < loops["temporary"] / 8
    assert own["moved"] < loops["moved"] / 50  # beyond what programs read again from the L2 cache
    assert own["spilled"] == 0


def test_the_stored_rows_are_those_compiled_here(
    rows: list[dict[str, Any]], stored: list[dict[str, Any]]
):
    """Within a fifth: other versions of XLA fuse differently."""
    for row in rows:
        (other,) = (
            r for r in stored if all(r[k] == row[k] for k in ("suite", "case", "shape", "dtype"))
        )
        for name in ("moved", "temporary"):
            assert 0.8 < row[name] / other[name] < 1.25, (row, other)


@pytest.fixture(scope="module")
def stored() -> list[dict[str, Any]]:
    everything = results.read(results.FOLDER / "aot.jsonl")
    return [r for r in results.of(everything, "compiled") if "attention" in r["suite"]]
