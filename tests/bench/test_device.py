"""bench/device.py on the CPU at small sizes: its exact check and its output."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import reference
from bench import contenders, device, results, suites
from bench.measure import Setting


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Command-line arguments of a run that takes seconds."""
    monkeypatch.setattr(device, "SHAPES", ((33, 129),))
    monkeypatch.setattr(device, "LARGE", ())
    table = ((Setting((64, 64)), ("scale", "dropout")),)
    monkeypatch.setattr(suites, "DEVICE", table)
    return ["--suites", "device", "--rounds", "2", "--output", str(tmp_path / "device.jsonl")]


@pytest.mark.parametrize("name", ["xla", "cpu"])
def test_a_right_backend_passes_the_check(name: str, capsys):
    if reason := device.backends().get(name):
        pytest.skip(f"no {name}: {reason}")
    assert list(device.errors(name)) == []
    assert "refuses" not in capsys.readouterr().out


def test_one_wrong_bit_is_reported_and_nothing_is_timed(small: list[str], monkeypatch, capsys):
    """The last element of the reference is changed."""

    def wrong(right, change):
        def function(*arguments):
            values = right(*arguments).copy()
            values.reshape(-1)[-1] = change(values.reshape(-1)[-1])
            return values

        return function

    changes = {"bits": lambda w: w ^ 1, "keep": lambda k: not k, "normal": lambda n: n * 1.00001}
    for name, change in changes.items():
        monkeypatch.setattr(reference, name, wrong(getattr(reference, name), change))
    assert device.main(small) == 1
    shown = capsys.readouterr().out.splitlines()
    served = [name for name, reason in device.backends().items() if not reason]
    for backend in served:
        for what in ("bits", "mask", "dropout", "gradient of dropout", "normals"):
            assert f"wrong: {backend}: {what} of (33, 129)" in shown
        assert f"wrong: {backend}: masks of a key per example" in shown
    assert results.read(Path(small[-1])) == []


def test_every_contender_is_timed_and_the_device_is_named(small: list[str]):
    assert device.main(small) == 0
    records = results.read(Path(small[-1]))
    (run,) = results.of(records, "run")
    assert run["platform"] == "cpu"
    assert run["versions"]["jax"]
    timed = {(r["work"], r["library"], r["variant"]) for r in results.of(records)}
    expected = contenders.contenders("cpu", "scale", "dropout")
    assert timed == {contender[:3] for contender in expected}


def test_no_row_is_begun_when_the_time_is_over(small: list[str], capsys):
    assert device.main([*small, "--minutes", "0"]) == 0
    assert "no time left" in capsys.readouterr().out
    assert results.of(results.read(Path(small[-1]))) == []


def test_suites_share_the_time(small: list[str], monkeypatch, capsys):
    """By a clock on which each row takes 20 seconds; there are ten rows in each of two suites."""
    clock = SimpleNamespace(monotonic=iter(range(0, 6000, 20)).__next__)
    monkeypatch.setattr(device, "time", clock)
    monkeypatch.setattr(suites, "DEVICE", ((Setting((64, 64)), ("scale",)),) * 10)
    monkeypatch.setitem(device.SUITES, "keys", device.SUITES["device"])
    small[1:2] = ["device", "keys"]
    assert device.main([*small, "--minutes", "4"]) == 0
    records = results.read(Path(small[-1]))
    rows = [{r["row"] for r in results.of(records, suite=name)} for name in ("device", "keys")]
    assert [len(own) for own in rows] == [5, 4]
    assert capsys.readouterr().out.count("no time left") == 2


def test_a_backend_that_cannot_serve_is_named_with_its_reason(monkeypatch):
    monkeypatch.setitem(device.KERNELS, "cpu", "mosaic_gpu")
    assert "it serves cuda, not cpu" in str(device.backends()["mosaic_gpu"])


def test_a_kind_that_a_backend_refuses_is_named_and_the_rest_is_timed(
    small: list[str], monkeypatch, capsys
):
    """Like Mosaic GPU, which refuses normals in jax before 0.12."""

    def refused(key, x):
        raise NotImplementedError("it has no normals")

    for work in ("normal", "gaussian_noise"):
        monkeypatch.setitem(contenders.OURS, work, refused)
    table = ((Setting((64, 64)), ("dropout", "gaussian_noise")),)
    monkeypatch.setattr(suites, "DEVICE", table)
    assert device.main(small) == 0
    assert "xla refuses normals: it has no normals" in capsys.readouterr().out
    records = results.read(Path(small[-1]))
    absent = results.of(records, "absent", work="gaussian_noise", variant="xla")
    assert [record["reason"] for record in absent] == ["it has no normals"]
    assert {record["work"] for record in results.of(records, variant="xla")} == {"dropout"}


def test_the_script_needs_no_network(tmp_path: Path):
    """pip is given no index: every package comes from the interpreter or from carried wheels."""
    output = tmp_path / "device.jsonl"
    command = ["bash", "scripts/device.sh", "--suites", "device", "--minutes", "0"]
    environment = os.environ | {"PYTHON": sys.executable, "PIP_INDEX_URL": "http://localhost:9"}
    subprocess.run(
        [*command, "--output", str(output)], check=True, cwd=results.ROOT, env=environment
    )
    assert [run["platform"] for run in results.of(results.read(output), "run")] == ["cpu"]
