"""The demo's command line: selects parts, prints tables, saves pictures."""

import runpy
import sys
from pathlib import Path

import pytest

from demo_parts import digits, speed, uncertainty

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "demo.py"
PNG = b"\x89PNG\r\n\x1a\n"


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["demo.py", *arguments])
    runpy.run_path(str(SCRIPT), run_name="__main__")


def test_all_parts_print_tables_and_save_pictures(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    few = {name: digits.LAYERS[name] for name in ("none", "Dropout(0.5)", "StopGradient()")}
    monkeypatch.setattr(digits, "LAYERS", few)
    monkeypatch.setattr(digits, "APIS", {"nnx": digits.nnx_trainer})
    monkeypatch.setattr(digits, "SEEDS", 2)
    monkeypatch.setattr(digits, "ROUNDS", 2)
    monkeypatch.setattr(uncertainty, "EPOCHS", 1)
    monkeypatch.setattr(uncertainty, "DRAWS", 3)
    monkeypatch.setattr(speed, "ROUNDS", 2)
    run(monkeypatch, "--out", str(tmp_path))
    printed = capsys.readouterr().out
    headings = ["1. What each", "2. Dropout(1.0)", "3. Training on", "4. Speed"]
    places = [printed.find(heading) for heading in headings]
    assert -1 not in places
    assert places == sorted(places)
    assert {path.name: path.read_bytes()[:8] for path in tmp_path.iterdir()} == {
        "1_layers.png": PNG,
        "2_gradients.png": PNG,
        "3_training.png": PNG,
        "3_uncertainty.png": PNG,
        "4_speed.png": PNG,
    }


def test_parts_can_be_chosen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    run(monkeypatch, "table", "--out", str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["1_layers.png"]
    assert "2. Dropout" not in capsys.readouterr().out


def test_unknown_parts_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit):
        run(monkeypatch, "tables")
    printed = capsys.readouterr().err
    assert "no such part: tables. Parts are table, gradients, digits, speed." in printed
