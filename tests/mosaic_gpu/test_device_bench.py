"""bench/device.py on the CPU, at small sizes: its gate, and what it writes."""

import importlib.util
import json
import pathlib
import sys

import numpy as np
import pytest

import reference
from flaxnoise.backends import choice

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def device():
    before = [*sys.path]
    spec = importlib.util.spec_from_file_location("device", ROOT / "bench" / "device.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.path[:] = before
    return module


@pytest.mark.parametrize("name", ["xla", "cpu"])
def test_a_right_backend_passes_the_gate(device, name: str):
    if reason := device.backends().get(name):
        pytest.skip(f"no {name}: {reason}")
    refused = {}
    assert list(device.errors(name, refused)) == []
    assert refused == {}


def test_one_wrong_bit_is_reported_and_nothing_is_timed(device, monkeypatch, tmp_path):
    """The reference is what is wrong here, in its last element."""

    def wrong(right, change):
        def function(*arguments):
            values = right(*arguments).copy()
            values.reshape(-1)[-1] = change(values.reshape(-1)[-1])
            return values

        return function

    changes = {"bits": lambda w: w ^ 1, "keep": lambda k: not k, "normal": lambda n: n * 1.00001}
    for name, change in changes.items():
        monkeypatch.setattr(reference, name, wrong(getattr(reference, name), change))
    monkeypatch.setattr(device, "SHAPES", ((33, 129),))
    monkeypatch.setattr(device, "LARGE", ())
    output = tmp_path / "device.json"
    assert device.main(["--elements", "64", "--samples", "1", "--output", str(output)]) == 1
    report = json.loads(output.read_text())
    wrong_ones = ("bits", "mask", "dropout", "gradient of dropout", "normals")
    for backend in ("xla", "cpu"):
        if backend not in report["refused"]:
            assert {f"{backend}: {what} of (33, 129)" for what in wrong_ones} <= {*report["wrong"]}
            assert f"{backend}: masks of a key per example" in report["wrong"]
    assert "rows" not in report


def test_the_report_has_every_work_and_names_its_device(device, monkeypatch, tmp_path):
    monkeypatch.setattr(device, "SHAPES", ((7,),))
    monkeypatch.setattr(device, "LARGE", ())
    monkeypatch.setattr(device, "SAMPLE", 1e-4)
    output = tmp_path / "device.json"
    small = ["--elements", "4096", "--samples", "2"]
    assert device.main([*small, "--output", str(output)]) == 0
    report = json.loads(output.read_text())
    assert report["platform"] == "cpu"
    assert report["versions"]["jax"]
    rows = {(row["work"], row["by"], row["dtype"]) for row in report["rows"]}
    for dtype in ("float32", "bfloat16"):
        assert ("copy", "xla", dtype) in rows
        for work in ("dropout", "dropout, gradient", "gaussian_noise", "chain", "chain, gradient"):
            assert (work, "xla", dtype) in rows
        for kind in ("threefry2x32", "rbg"):
            assert ("dropout", f"flax, {kind}", dtype) in rows
    assert all(np.isfinite(row["share_of_copy"]) and row["seconds"] > 0 for row in report["rows"])


def test_a_backend_that_cannot_serve_is_named_with_its_reason(device, monkeypatch):
    monkeypatch.setitem(device.KERNELS, "cpu", "mosaic_gpu")
    assert "it serves cuda, not cpu" in device.backends()["mosaic_gpu"]


def test_a_kind_that_a_backend_refuses_is_named_and_the_rest_is_timed(
    device, monkeypatch, tmp_path
):
    """As Mosaic GPU of jax before 0.12 does normals."""

    def no_normals(*, kind: str, **_: object) -> str | None:
        return "it has no normals." if kind == "normal" else None

    monkeypatch.setitem(choice.BACKENDS, "xla", choice.BACKENDS["xla"]._replace(refuses=no_normals))
    monkeypatch.setattr(device, "SHAPES", ((7,),))
    monkeypatch.setattr(device, "LARGE", ())
    monkeypatch.setattr(device, "SAMPLE", 1e-4)
    monkeypatch.setitem(device.KERNELS, "cpu", "xla")
    output = tmp_path / "device.json"
    small = ["--elements", "4096", "--samples", "1", "--works", "dropout", "gaussian_noise"]
    assert device.main([*small, "--output", str(output)]) == 0
    report = json.loads(output.read_text())
    assert "it has no normals" in report["refused"]["xla: gaussian_noise"]
    ours = {row["work"] for row in report["rows"] if row["by"] == "xla"}
    assert ours == {"copy", "dropout", "dropout, gradient"}
