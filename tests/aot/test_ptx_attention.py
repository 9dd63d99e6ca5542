"""The attention kernels for H100: masks of their PTX, executed on the CPU, and their size."""

import json
import pathlib
import types
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ptx_attention
import reference
from every import every

pytestmark = pytest.mark.skipif(
    jax.__version_info__ < (0, 12), reason="Mosaic GPU of jax before 0.12 lacks what they need"
)
EMITTED = pathlib.Path(__file__).with_name("emitted_attention.py")
KEY = (0x80000001, 2, 0xFFFFFFFF, 7)
RATE = 0.3
ROWS = 64
# Machine instructions; a thread has 64 weights of a tile in the forward pass, 32 in the others.
# jax 0.12.0 takes 1592, 1006 and 1283, without dropout 843, 649 and 923.
MOST_INSTRUCTIONS = {"forward": 1750, "query_gradient": 1110, "key_gradients": 1410}
WIDE_START = (1 << 33) - 32 * 1024  # rows of a block on both sides of a multiple of 2^32


@pytest.fixture(scope="module")
def records(run: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    output = tmp_path_factory.mktemp("ptx") / "emitted.json"
    run("gpu", EMITTED, "--output", output)
    return json.loads(output.read_text())


def starts(shape: types.SimpleNamespace) -> np.ndarray:
    """uint64: index of the first weight of each head's blocks of queries."""
    blocks = np.arange(shape.heads * shape.queries // ROWS, dtype=np.uint64)
    first = np.uint64(WIDE_START if shape.wide else 0)
    return first + blocks * np.uint64(ROWS * shape.row)


def expected(shape: types.SimpleNamespace) -> np.ndarray:
    """bool[blocks of queries, 64, keys]: where a weight is seen and kept."""
    key = np.arange(shape.keys, dtype=np.uint64)
    row = np.arange(ROWS, dtype=np.uint64) * np.uint64(shape.row)
    index = starts(shape)[:, None, None] + row[:, None] + key
    kept = reference.keep(KEY, index, RATE) & (key < shape.own_keys)
    if shape.causal:
        query = np.arange(shape.queries).reshape(-1, ROWS)
        past = key[None, None] <= query[:, :, None].astype(np.uint64)
        kept &= np.tile(past, (shape.heads, 1, 1))
    return kept


def columns(shape: types.SimpleNamespace) -> np.ndarray:
    """The key of each column of all, as the docstring of attention_tiles says."""
    column = np.arange(shape.keys)
    of_16 = column // 2 % 4 * 4 + column // 8 % 2 * 2 + column % 2
    if shape.row % 1024 or shape.causal:
        return column // 16 * 16 + of_16
    unit = column // 64
    first = unit // 16 * 1024 + unit % 16 * 32
    return first + column // 32 % 2 * 512 + column // 16 % 2 * 16 + of_16


def executed(record: dict) -> tuple[np.ndarray, types.SimpleNamespace]:
    """Runs a kernel; returns which weights it keeps, in order of keys."""
    shape = types.SimpleNamespace(**record["shape"])
    blocks = shape.queries // ROWS
    words = starts(shape)
    words = np.stack([words, words >> np.uint64(32)], axis=-1).astype(np.uint32)
    noise = [words, np.uint32(KEY), np.uint32([reference.threshold(RATE)]), np.float32([1])]
    of_rows = np.zeros((shape.heads, shape.queries), np.float32)
    of_queries = (shape.queries, shape.heads, shape.size)
    of_keys = np.zeros((shape.keys, shape.heads, shape.size), np.float32)
    buffers = {  # in the order of their first use, in which Mosaic passes them
        "forward": [*noise, np.zeros(of_queries, jnp.bfloat16), of_rows, of_rows],
        "query_gradient": [of_rows, of_rows, *noise, np.zeros(of_queries, np.float32)],
        "key_gradients": [of_rows, of_rows, *noise, of_keys, of_keys],
    }[record["pass"]]
    by_keys = record["pass"] == "key_gradients"
    grid = (shape.keys // 64 if by_keys else blocks, shape.heads, 1)
    machine = ptx_attention.Attention(record["ptx"], buffers, grid)
    machine.run()
    kept = np.zeros((shape.heads, blocks, ROWS, shape.keys), bool)
    tiles, order = shape.keys // 64, columns(shape)
    for number, operands in enumerate(machine.operands):
        if not by_keys:
            found = np.concatenate(operands, axis=1) != 0
            kept[divmod(number, blocks)][:, order[: found.shape[1]]] = found
            continue
        head, j = divmod(number, tiles)
        seen = range(min(j, blocks - 1) if shape.causal else 0, blocks)
        assert len(operands) == 2 * len(seen)
        for i, weights, scores in zip(seen, operands[::2], operands[1::2], strict=True):
            np.testing.assert_array_equal(weights != 0, scores != 0)
            kept[head, i][:, order[64 * j : 64 * j + 64]] = weights != 0
    return kept.reshape(-1, ROWS, shape.keys), shape


def test_every_pass_draws_the_mask_of_the_stream(records: list[dict]):
    for record in records:
        kept, shape = executed(record)
        np.testing.assert_array_equal(kept, expected(shape), err_msg=str(record["shape"]))


@every(
    "name, right, wrong",
    [
        ("forward", "-766435501", "-766435503"),  # a multiplier of the generator
        ("query_gradient", "setp.lt.u32", "setp.gt.u32"),  # a threshold's comparison
    ],
)
def test_a_defect_in_the_code_would_be_seen(records: list[dict], name: str, right: str, wrong: str):
    record = next(own for own in records if own["pass"] == name)
    assert right in record["ptx"]
    kept, shape = executed({**record, "ptx": record["ptx"].replace(right, wrong)})
    assert np.mean(kept != expected(shape)) > 0.1


def test_kernels_are_within_their_budget_and_keep_weights_in_registers(records: list[dict]):
    own = {r["pass"]: r for r in reversed(records) if r["shape"]["row"] == 1024}
    assert own.keys() == MOST_INSTRUCTIONS.keys()
    for name, record in own.items():
        assert record["shape"]["size"] == 64
        assert record["instructions"] <= MOST_INSTRUCTIONS[name], (name, record["instructions"])
        assert record["spilled"] == 0, name
