"""The script itself: chooses parts, prints tables, saves pictures."""

import runpy
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "demo.py"


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["demo.py", *arguments])
    runpy.run_path(str(SCRIPT), run_name="__main__")


def test_chosen_parts_print_tables_and_save_pictures(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    run(monkeypatch, "table", "gradients", "--out", str(tmp_path))
    printed = capsys.readouterr().out
    assert "1. What each layer does" in printed
    assert "2. Dropout(1.0) or StopGradient?" in printed
    assert "3. Training" not in printed
    pictures = {path.name: path.read_bytes()[:8] for path in tmp_path.iterdir()}
    assert pictures == dict.fromkeys(["1_layers.png", "2_gradients.png"], b"\x89PNG\r\n\x1a\n")


def test_unknown_parts_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit):
        run(monkeypatch, "tables")
    assert (
        "no such part: tables. Parts are table, gradients, digits, speed."
        in capsys.readouterr().err
    )
