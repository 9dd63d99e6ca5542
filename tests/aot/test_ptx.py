"""The PTX that XLA and Mosaic emit for H100, executed on the CPU, against the reference.

Words, masks, uniforms and dropout are compared bit for bit, kinds with logarithms or roots in ulps.
"""

import json
import math
import pathlib
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
import pytest

import ptx
import reference
from closeness import FLOAT32_ULP, NOISE_ULPS

EMITTED = pathlib.Path(__file__).with_name("emitted.py")
KEY = (0x80000001, 2, 0xFFFFFFFF, 7)
RATE = 0.3
START = (1 << 33) - 1028  # crosses a multiple of 2^32 within a tile; a shard begins with a block
VALUES = {"a": 0.75, "b": 1 / (1 - RATE), "c": 0.4, "d": -1.7}
LARGEST = {"normal": 6.67, "masked_normal": 6.67, "laplace": 22.2}


@pytest.fixture(scope="module")
def records(run: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    output = tmp_path_factory.mktemp("ptx") / "emitted.json"
    run("gpu", EMITTED, "--output", output)
    return json.loads(output.read_text())


def executed(record: dict) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Runs a kernel; returns the result in the dtype stored, and the operands."""
    size = math.prod((record["keys"] or 1, *record["shape"]))
    dtype = jnp.dtype("uint8" if record["result"] == "bool" else record["result"])
    x = np.random.default_rng(1).normal(size=size).astype(jnp.dtype(record["dtype"]))
    x[:6] = [np.nan, np.inf, -np.inf, -0.0, 0.0, 6e-8]
    given = {
        "key": np.array(keys_of(record), np.uint32).reshape(-1),
        "start": np.array([START & 0xFFFFFFFF, START >> 32], np.uint32),
        "threshold": np.array([reference.threshold(RATE)], np.uint32),
        "x": x,
        **{name: np.array([value], np.float32) for name, value in VALUES.items()},
    }
    buffers = [given[name] for name in record["operands"]] + [np.full(size, 77).astype(dtype)]
    *left, y = ptx.run(record["ptx"], buffers, record["blocks"])
    for before, after in zip(buffers, left, strict=False):
        np.testing.assert_array_equal(before.view(np.uint8), after.view(np.uint8))
    return y, given


def keys_of(record: dict) -> list[tuple[int, ...]]:
    """Returns the words of the key, or of one key per example."""
    return [(KEY[0], KEY[1] + example, *KEY[2:]) for example in range(record["keys"] or 1)]


def noise(kind: str, key: tuple[int, ...], i: np.ndarray) -> np.ndarray:
    if kind == "keep":
        return reference.halves(key, i) >> np.uint32(1) >= reference.threshold(RATE)
    if kind == "masked_normal":
        return reference.masked_normal(key, i, RATE)
    return getattr(reference, kind)(key, i)


def expected(record: dict, given: dict[str, np.ndarray]) -> np.ndarray:
    """Returns y of the reference, in float64 where the kernel rounds intermediate results."""
    whole = record["global_shape"] or record["shape"]
    strides = [math.prod(whole[axis + 1 :]) for axis in range(len(whole))]
    places = np.indices(record["shape"], np.uint64)
    i = sum(np.uint64(s) * place for s, place in zip(strides, places, strict=True)).reshape(-1)
    i = i + np.uint64(START if record["global_shape"] else 0)
    n = np.concatenate([noise(record["kind"], key, i) for key in keys_of(record)])
    if record["terms"] == "b":
        product = given["x"].astype(np.float32) * given["b"]
        return np.where(n, product.astype(given["x"].dtype), 0)
    if record["terms"] == "ad":
        return given["x"].astype(np.float64) * VALUES["a"] + VALUES["d"] * n
    return n


def test_every_program_writes_what_the_reference_says(records: list[dict]):
    assert {record["backend"] for record in records} == {"xla", "mosaic_gpu"}
    for record in records:
        name = {
            k: record[k]
            for k in ("backend", "kind", "terms", "dtype", "shape", "keys", "global_shape")
        }
        with np.errstate(all="ignore"):
            y, given = executed(record)
            wanted = expected(record, given)
        written = record["written"]
        assert 0 < written <= len(y)
        np.testing.assert_array_equal(y[written:].astype(float), 77, err_msg=str(name))
        y, wanted = (np.asarray(v[:written], np.float64) for v in (y, wanted))
        finite = np.isfinite(wanted)
        np.testing.assert_array_equal(y[~finite], wanted[~finite], err_msg=str(name))
        y, wanted = y[finite], wanted[finite]
        if record["kind"] not in LARGEST:
            np.testing.assert_array_equal(y, wanted, err_msg=str(name))
            continue
        rounding = float(jnp.finfo(record["result"]).eps) / 2 * abs(wanted)
        scale = LARGEST[record["kind"]] if record["terms"] else abs(wanted)
        assert np.all(abs(y - wanted) <= rounding + NOISE_ULPS * FLOAT32_ULP * scale), name


def test_a_wrong_constant_would_be_seen(records: list[dict]):
    """Planted: one bit of one multiplier of the generator."""
    record = next(r for r in records if (r["backend"], r["kind"]) == ("mosaic_gpu", "bits"))
    assert "-766435501" in record["ptx"]
    planted = {**record, "ptx": record["ptx"].replace("-766435501", "-766435503")}
    y, given = executed(planted)
    assert np.mean(y == expected(record, given)) < 0.01
