"""What attention with dropout compiles to for H100 and TPUs; counted, not run."""

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
PASSES = ("flaxnoise_attention", "flaxnoise_attention_backward")


Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def compiled(run: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Returns (kind, device, case) -> the records of its gradient at length 2048."""

    def records(kind: str, device: str, case: str) -> Rows:
        output = tmp_path_factory.mktemp("attention") / "aot.jsonl"
        only = f"{case}, gradient, 2048"
        options = ("--devices", device, "--only", only, "--output", output)
        run(kind, "-m", "bench", "aot-attention", *options)
        return results.of(results.read(Path(output)), "compiled")

    return records


def of_blockwise(stored: Rows, device: str, length: int) -> dict[str, Any]:
    about = f"aot attention {device}", f"{attention.BLOCKWISE}, gradient", length
    (row,) = (r for r in stored if (r["suite"], r["case"], r["shape"][1]) == about)
    return row


@pytest.mark.parametrize("device", attention.BLOCKWISE_ON)
def test_the_gradient_holds_no_array_of_all_weights(stored: Rows, device: str):
    row = of_blockwise(stored, device, 8192)
    weights = 2 * attention.HEADS * 8192**2 / MIB  # bfloat16
    assert row["temporary"] < 0.4 * weights, row


def test_temporaries_grow_slower_than_the_array_of_weights(stored: Rows):
    """On a GPU; a TPU keeps the short sequence's in its vector memory, which is not counted."""
    short, long = (of_blockwise(stored, "h100", length) for length in (2048, 8192))
    assert long["temporary"] / short["temporary"] < 4 < (8192 / 2048) ** 2


def test_naive_attention_would_fail_these_tests(stored: Rows):
    naive = [r for r in stored if r["case"] == f"{attention.NAIVE}, gradient"]
    assert {r["suite"] for r in naive} == {"aot attention h100", "aot attention v5e"}
    for row in naive:
        weights = 2 * attention.HEADS * row["shape"][1] ** 2 / MIB
        assert row["temporary"] > weights, row
        assert row["tile_kernels"] == 0


def test_the_kernels_draw_a_weight_of_the_mask_in_12_instructions(stored: Rows):
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


def test_the_kernels_hold_and_move_less_than_the_loops(stored: Rows):
    own, loops = (
        next(r for r in stored if r["case"] == f"{name}, gradient" and r["shape"][1] == 8192)
        for name in (attention.KERNEL, attention.BLOCKWISE)
    )
    assert own["temporary"] < loops["temporary"] / 8
    assert own["moved"] < loops["moved"] / 50  # beyond what programs read again from the L2 cache
    assert own["spilled"] == 0


def test_the_tpu_kernels_draw_a_weight_of_the_mask_in_few_bundles(stored: Rows):
    """By the difference to the kernels without dropout, per 1024 weights.

    A block of Philox takes 65 bundles, and serves 8 weights of each lane; the rest are comparisons,
    selects and addresses. On v4 each of the 90 products of a block takes some 7 bundles. The
    budgets leave a tenth for another compiler's schedule.
    """
    budgets = {"v4": 104, "v5e": 13, "v5p": 13, "v6e": 13, "tpu7x": 13}
    for device, budget in budgets.items():
        own, without, hardware = (
            next(
                r["bundles"]
                for r in stored
                if (r["suite"], r["case"]) == (f"aot attention {device}", f"{case}, gradient")
            )
            for case in (
                attention.TPU_KERNEL,
                attention.TPU_WITHOUT_DROPOUT,
                attention.TPU_HARDWARE,
            )
        )
        assert own.keys() == without.keys() == hardware.keys() == {*PASSES}
        for name in PASSES:
            assert 5 < own[name] - without[name] <= budget, (device, name)
            assert without[name] < hardware[name] < own[name], (device, name)


def test_the_stored_row_of_the_loops_is_that_compiled_here(compiled: Any, stored: Rows):
    """Within a fifth: other versions of XLA fuse differently."""
    (row,) = compiled("gpu", "h100", attention.BLOCKWISE)
    assert 10 < row["tile_kernels"] <= MOST_KERNELS, row
    assert row["tile_moved"] > 0
    assert row["kernels"] > row["tile_kernels"]
    other = same(row, stored)
    for name in ("moved", "temporary"):
        assert 0.8 < row[name] / other[name] < 1.25, (row, other)


def test_the_stored_row_of_the_tpu_kernels_is_that_compiled_here(compiled: Any, stored: Rows):
    """Within a tenth: other versions of the compiler schedule differently."""
    (row,) = compiled("tpu", "v5e", attention.TPU_KERNEL)
    other = same(row, stored)
    for name in PASSES:
        assert 0.9 < row["bundles"][name] / other["bundles"][name] < 1.1, (row, other)


def same(row: dict[str, Any], stored: Rows) -> dict[str, Any]:
    about = ("suite", "case", "shape", "dtype")
    (other,) = (r for r in stored if all(r[k] == row[k] for k in about))
    return other


@pytest.fixture(scope="module")
def stored() -> Rows:
    everything = results.read(results.FOLDER / "aot.jsonl")
    return [r for r in results.of(everything, "compiled") if "attention" in r["suite"]]
