"""Comparisons, pictures, tables and README's section, on made-up results and on ours."""

import itertools
import re
from pathlib import Path
from typing import Any

import pytest

from bench import compare, measurements, plot, readme, terminal
from bench.pictures import style

ROOT = Path(__file__).resolve().parents[2]
Records = list[dict[str, Any]]


@pytest.fixture
def files(made_up: Records, tmp_path: Path) -> tuple[Path, Path]:
    """The made-up results, and the same with a dropout of flaxnoise that takes 3 times as long."""
    one, other = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    measurements.write(one, made_up)
    slower = []
    for record in made_up:
        if (record.get("work"), record.get("library")) == ("dropout", "flaxnoise"):
            entries = ("median", "low", "high")
            longer = {name: 3 * record["cpu"][name] for name in entries}
            record = record | {"cpu": record["cpu"] | longer}
        slower.append(record)
    measurements.write(other, [slower[0] | {"load": 7.0}, *slower[1:-1]])
    return one, other


def test_results_come_back_as_they_were_written(made_up: Records, tmp_path: Path):
    path = tmp_path / "a.jsonl"
    measurements.write(path, made_up)
    back = measurements.read(path)
    measurements.write(path, back)
    assert measurements.read(path) == back
    assert [measurements.identity(r) for r in measurements.of(back, "time")] == [
        measurements.identity(r) for r in measurements.of(made_up, "time")
    ]


@pytest.mark.parametrize("text", ["nonsense\n", '{"a": 1}\n', "[]\n"])
def test_other_files_are_refused(text: str, tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"a\.jsonl:1: "):
        measurements.read(path)


def test_compare_gives_ratios_with_intervals(files: tuple[Path, Path], capsys):
    a, b = map(measurements.read, files)
    found = compare.ratios(a, b, "cpu")
    first = found[0]
    assert first.record["work"] == "dropout"
    assert first.value == pytest.approx(3, rel=1e-3)  # four digits are stored
    assert first.low == pytest.approx(3 * 0.8**2, rel=1e-3)
    assert first.high == pytest.approx(3 / 0.8**2, rel=1e-3)
    assert {r.verdict for r in found} == {"slower", ""}
    assert all(r.value == 1 for r in found if r.verdict == "")
    compare.main([*map(str, files), "--only", "dropout"])
    shown = capsys.readouterr().out
    assert "3.000" in shown
    assert "slower" in shown
    assert "1 measurements are in A alone" in shown
    assert "different: load: 0.5 → 7.0" in shown


def test_pictures_are_drawn(files: tuple[Path, Path], tmp_path: Path, capsys):
    plot.main([str(files[0]), "--folder", str(tmp_path)])
    paths = [Path(line) for line in capsys.readouterr().out.split()]
    assert [path.name for path in paths] == [
        "bench_sizes.png",
        "bench_ratios.png",
        "bench_roofline.png",
    ]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


def test_pictures_show_everyone(made_up: Records):
    (run,) = measurements.of(made_up, "run", threads=2)
    timed = measurements.of(made_up, "time", threads=2)
    for draw in plot.PICTURES.values():
        figure = draw(timed, run)
        texts = {text.get_text() for axes in figure.axes for text in axes.texts}
        ticks = {tick.get_text() for axes in figure.axes for tick in axes.get_yticklabels()}
        everyone = " ".join(texts | ticks)
        for name in ("flax.linen threefry2x32", "jax random.normal", "x * 1.25"):
            assert name in everyone
        assert "Abacus 9" in figure.get_supxlabel()


def test_labels_do_not_overlap_and_stay_near_their_points():
    heights = [3.0, 0.0, 0.1, 3.05, 9.0, 3.02]
    placed = style.spread_out(heights, 0.5)
    order = sorted(range(6), key=lambda i: heights[i])
    steps = [placed[b] - placed[a] for a, b in itertools.pairwise(order)]
    assert min(steps) == pytest.approx(0.5)
    assert placed[4] == 9.0
    assert placed[5] == pytest.approx(sum(heights[i] for i in (0, 3, 5)) / 3)


def test_terminal_shows_times_ratios_and_what_is_missing(made_up: Records, capsys):
    terminal.show(made_up)
    shown = capsys.readouterr().out
    assert "missing: torch: No module named 'torch'" in shown
    assert "19.1 (12)" in shown  # 20 ms for 2^20 elements, and 36 ms of CPU time to our 3
    assert "50.0%" in shown  # of the step with Flax's dropout
    assert "25.0%" in shown  # with ours


def test_section_is_made_of_the_records(made_up: Records):
    text = readme.section(made_up, "bench/results/made_up.jsonl")
    assert "| flaxnoise (cpu) | **1.91** |" in text
    assert "| flax.linen (threefry2x32) | 19.07 (12.0×) |" in text
    assert "Abacus 9 (avx2)" in text
    assert "jax 0.10.2, flax 0.12.8" in text
    assert "`python -m bench`" in text
    assert "| mlp on digits | 2.0 | 2.0 | 2.0 | 50% / 25% |" in text


def test_section_stands_between_its_marks(files: tuple[Path, Path], tmp_path: Path):
    page = tmp_path / "README.md"
    page.write_text(f"above\n{readme.BEGIN}\nold\n{readme.END}\nbelow\n")
    arguments = [str(files[0]), "--readme", str(page)]
    with pytest.raises(SystemExit, match=r"run bench\.readme again"):
        readme.main([*arguments, "--check"])
    readme.main(arguments)
    readme.main([*arguments, "--check"])
    lines = page.read_text().splitlines()
    assert (lines[0], lines[-1]) == ("above", "below")
    assert "old" not in lines
    page.write_text("no marks")
    with pytest.raises(ValueError, match="must have the lines"):
        readme.main(arguments)


def test_readme_says_what_its_results_file_says():
    text = (ROOT / "README.md").read_text()
    own = text.partition(readme.BEGIN)[2].partition(readme.END)[0]
    source = re.search(r"\(bench/results/(\w+\.jsonl)\)", own)
    assert source is not None, "README.md's section on speed names no results file"
    readme.main([str(ROOT / "bench" / "results" / source[1]), "--check"])
