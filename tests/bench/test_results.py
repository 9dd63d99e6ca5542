"""Intervals decide what is printed; results files, README's section, pictures and goals."""

import math
import re
from pathlib import Path
from typing import Any

import pytest

from bench import attention, goals, plot, readme, report, results
from bench.intervals import ratio, spread
from every import every

ROOT = Path(__file__).resolve().parents[2]
Records = list[dict[str, Any]]
WIDE = [1.0, 0.5, 1.5, 0.6, 1.4, 0.7, 1.6, 0.8, 1.9, 0.9]


@every("count", [6, 7, 15, 45])
def test_the_interval_holds_the_median_of_any_distribution_at_95_percent(count: int):
    found = spread(range(count))
    rank = int(found.low) + 1
    assert found.high == count - rank
    assert found.median == (count - 1) / 2

    def coverage(rank: int) -> float:
        return 1 - 2 * sum(math.comb(count, k) for k in range(rank)) / 2**count

    assert coverage(rank) >= 0.95 > coverage(rank + 1)


def test_ratios_of_one_round_are_compared_where_rounds_are_shared():
    """If the machine slows both down, the ratio stays the same."""
    a, b = [2 * value for value in WIDE], WIDE
    assert ratio(a, b, paired=True) == (2, 2, 2)
    apart = ratio(a, b, paired=False)
    assert apart.low < 1.2
    assert apart.high > 2.9


def test_results_come_back_as_they_were_written(made_up: Records, tmp_path: Path):
    path = tmp_path / "a.jsonl"
    results.write(path, made_up)
    back = results.read(path)
    assert len({results.identity(record) for record in results.of(back)}) == len(results.of(back))
    results.write(path, back)
    assert results.read(path) == back


def test_a_suite_replaces_its_records_alone(made_up: Records, tmp_path: Path):
    path = tmp_path / "a.jsonl"
    results.merge(path, made_up)
    models = results.of(made_up, "run", suite="models")
    merged = results.merge(path, models)
    assert results.of(merged, suite="models") == []
    assert len(results.of(merged, suite="layers")) == len(results.of(made_up, suite="layers"))


@pytest.mark.parametrize("text", ["nonsense\n", '{"a": 1}\n', "[]\n"])
def test_other_files_are_refused(text: str, tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"a\.jsonl:1: "):
        results.read(path)


def test_the_section_is_made_of_the_records(made_up: Records):
    text = readme.section(made_up, "bench/results/made_up.jsonl")
    assert "| flaxnoise (cpu) | **1.91** | **1.91** | **1.91** | **1.91** |" in text
    assert "| flax.linen (threefry2x32) | 19.07 (10.0×) |" in text
    assert "| a copy of x | 0.95 (0.5×) |" in text
    assert "| transformer | 100.0 | 140.0 (1.40×) | 104.0 (1.04×) |" in text
    assert "2 cores of Abacus 9 (avx2)" in text
    assert "`python -m bench all`" in text
    assert "empty because" not in text


def test_attention_has_times_and_memory_by_length(made_up: Records):
    about = {"suite": "attention", "threads": 2}
    run = results.of(made_up, "run", suite="models")[0] | about
    step = results.of(made_up, suite="models", library="flaxnoise")[0] | about
    step |= {"work": "attention with dropout", "variant": "cpu", "direction": "forward"}
    records = [run, step | {"shape": [1, 2048, 4, 64], "temporary": 26 << 20}]
    text = readme.section(records, "made_up.jsonl")
    assert "| length | flaxnoise (cpu) |" in text
    assert "| 2048, forward | 104.0, 26 MiB |" in text
    assert "| 2048, forward |  |" in readme.section([run | {"load": 2.0}, records[1]], "a.jsonl")


@every(
    ("change", "reason"),
    [
        ({"commit": "0123456789ab+"}, "files were changed since commit 0123456789ab"),
        ({"commit": ""}, "files were changed"),
        ({"load": 0.3}, "the load average was 0.3"),
    ],
)
def test_no_number_is_printed_from_a_dirty_commit_or_a_busy_machine(
    made_up: Records, change: dict[str, Any], reason: str
):
    for record in results.of(made_up, "run"):
        record |= change
    text = readme.section(made_up, "made_up.jsonl")
    assert "| flaxnoise (cpu) |  |  |  |  |" in text
    assert "| transformer |  |  |  |" in text
    tables = [line.split("|")[2:] for line in text.splitlines() if line.startswith("|")]
    assert not any(re.search(r"\d\.\d", cell) for cells in tables for cell in cells)
    assert reason in " ".join(text.split())


def test_a_cell_with_a_wide_interval_is_empty_and_so_is_what_is_relative_to_it(made_up: Records):
    for record in results.of(made_up, threads=1, direction="forward", library="flaxnoise"):
        record["wall"] = [value * 2e-3 for value in WIDE]
    text = readme.section(made_up, "made_up.jsonl")
    assert "| flaxnoise (cpu) | **1.91** | **1.91** |  | **1.91** |" in text
    assert re.search(r"\| flax.linen \(threefry2x32\) \| 19.07 \(10.0×\) \|.*\| 19.07 \|", text)


def test_sections_stand_between_their_marks(made_up: Records, tmp_path: Path):
    file, page = tmp_path / "a.jsonl", tmp_path / "README.md"
    results.write(file, made_up)
    empty = f"above\n{readme.BEGIN}\nold\n{readme.END}\nbelow\n"
    pages = [page, tmp_path / "speed.md", tmp_path / "attention.md"]
    for own in pages:
        own.write_text(empty)
    arguments = [str(file), "--readme", str(page), "--guides", str(tmp_path)]
    readme.main(arguments)
    readme.main([*arguments, "--check"])
    for own in pages:
        lines = own.read_text().splitlines()
        assert (lines[0], lines[-1]) == ("above", "below")
        assert "old" not in lines
        own.write_text(empty)
        with pytest.raises(SystemExit, match=rf"{own.name} .* run bench\.readme again"):
            readme.main([*arguments, "--check"])
        readme.main(arguments)
    page.write_text("no marks")
    with pytest.raises(ValueError, match="must have the lines"):
        readme.main(arguments)


def test_readme_has_the_ratios_in_25_lines(made_up: Records):
    about = {"suite": "attention", "threads": 2, "direction": "gradient"}
    run = results.of(made_up, "run", suite="models")[0] | about
    step = results.of(made_up, suite="models", library="flaxnoise")[0] | about
    rows = [
        step | {"work": work, "library": library, "variant": variant, "shape": [1, length, 4, 64]}
        for length in (512, 2048, 8192)
        for work, library, variant in (*attention.FUNCTIONS, ("attention", "torch", ""))
    ]
    for row in rows:
        row["temporary"] = 26 << 20
        if row["library"] == "jax.nn":
            row["cpu"] = [3 * value for value in row["cpu"]]
    text = readme.short([*made_up, run, *rows], "bench/results/made_up.jsonl")
    lines = text.splitlines()
    assert len(lines) <= 25
    assert "| dropout, flax.linen (threefry2x32) | 10.0× | 10.0× |" in lines
    assert "| gaussian_noise, jax.random (threefry2x32) | 10.0× | 10.0× |" in lines
    assert "| transformer | 100.0 | 140.0 (1.40×) | 104.0 (1.04×) |" in lines
    assert "| flaxnoise (cpu) | 104 ms, 26 MiB | 104 ms, 26 MiB |" in lines
    assert "| jax.nn, no dropout | 3.0×, 26 MiB | 3.0×, 26 MiB |" in lines
    assert "On Abacus 9, jax 0.10.2; from `bench/results/made_up.jsonl`" in lines[-1]
    busy = readme.short([*made_up, run | {"load": 1.0}, *rows], "a.jsonl").splitlines()
    assert "| jax.nn, no dropout | 26 MiB | 26 MiB |" in busy


def test_guides_show_the_picture_of_results(made_up: Records, tmp_path: Path, monkeypatch):
    """Only if there are results of attention; and only if it was drawn."""
    assert readme.picture(made_up) == ""
    step = results.of(made_up, suite="models", library="flaxnoise")[0]
    run = results.of(made_up, "run", suite="models")[0] | {"suite": "attention"}
    step |= {
        "suite": "attention",
        "work": "attention",
        "direction": "gradient",
        "temporary": 1 << 20,
    }
    file = tmp_path / "a.jsonl"
    results.write(file, [*made_up, run, step | {"shape": [1, 512, 4, 64], "variant": "cpu"}])
    for name in ("README", "speed", "attention"):
        tmp_path.joinpath(f"{name}.md").write_text(f"{readme.BEGIN}\n{readme.END}\n")
    picture = tmp_path / "4_attention.png"
    monkeypatch.setattr(readme, "PICTURE", picture)
    monkeypatch.setattr(plot, "PICTURE", picture)
    arguments = [str(file), "--readme", str(tmp_path / "README.md"), "--guides", str(tmp_path)]
    with pytest.raises(SystemExit, match=r"run bench\.plot --docs"):
        readme.main(arguments)
    plot.main([str(file), "--docs"])
    assert picture.read_bytes().startswith(b"\x89PNG")
    readme.main(arguments)
    for name in ("speed", "attention"):
        assert "](../pictures/4_attention.png)" in tmp_path.joinpath(f"{name}.md").read_text()


def test_readme_and_guides_say_what_the_results_file_says():
    readme.main(["--check"])


def test_pictures_show_every_contender(made_up: Records, tmp_path: Path, capsys):
    file = tmp_path / "a.jsonl"
    results.write(file, made_up)
    plot.main([str(file), "--folder", str(tmp_path)])
    paths = [Path(line) for line in capsys.readouterr().out.split()]
    assert [path.name for path in paths] == ["bench_sizes.png", "bench_ratios.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
    own = results.of(made_up, suite="layers", threads=2)
    figure = plot.sizes(own, results.of(made_up, "run")[0])
    shown = {text.get_text() for axes in figure.axes for text in axes.get_legend().get_texts()}
    assert shown == {plot.label(record) for record in own}


def test_ratios_of_two_files_have_intervals(made_up: Records, tmp_path: Path, capsys):
    a, b = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    results.write(a, made_up)
    slower = results.of(made_up, library="flaxnoise", threads=1, shape=[256, 1024])
    for record in slower:
        record["cpu"] = [3 * value for value in record["cpu"]]
    results.write(b, made_up)
    report.main([str(a), str(b)])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(results.of(made_up))
    assert all(("slower" in line) == (i < len(slower)) for i, line in enumerate(lines))
    assert lines[0].startswith("   3.000  2.88")


def test_the_terminal_shows_times_ratios_and_what_is_missing(made_up: Records, capsys):
    reason = {"suite": "layers", "threads": 2, "library": "torch", "reason": "not installed"}
    report.show([*made_up, {"record": "missing", **reason}])
    shown = capsys.readouterr().out
    assert "missing: torch: not installed" in shown
    assert re.search(r"dropout +flax.linen \(threefry2x32\) +19.073 ns/el wall .* 10.00×", shown)
    assert re.search(r"transformer +none +100.000 ms wall", shown)


def test_goals_compare_records_of_one_setting(made_up: Records):
    text = goals.table(made_up)
    setting = "1024×1024 float32 forward jit 2 threads"
    theirs = "CPU time ÷ dropout flax.linen threefry2x32"
    assert f"| layers | dropout, flaxnoise (cpu) | {setting} | {theirs} | 0.05 | 0.1" in text
    assert f"{setting} | kept | 0.1 | 0 | met |" in text
    assert "| models | transformer, flaxnoise (kernel) |" in text
    assert "| 1.05 | 1.04 | met |" in text
