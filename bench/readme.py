"""Writes README.md's section on speed from a results file.

python -m bench.readme bench/results/cpu.jsonl
python -m bench.readme bench/results/cpu.jsonl --check     fails if README.md says something else
"""

import argparse
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from bench import measurements
from bench.measurements import Record
from bench.terminal import noise_share

README = Path(__file__).resolve().parents[1] / "README.md"
BEGIN = "<!-- speed: written by python -m bench.readme -->"
END = "<!-- end of speed -->"
WORKS = ("dropout", "gaussian_noise")
SHAPE = [1024, 1024]
LIBRARIES = ("none", "flax.linen", "flaxnoise")
NAMES = {"copy": "a copy of x", "scale": "x * 1.25"}


def section(records: Sequence[Record], source: str) -> str:
    """Markdown, without the two marks.

    Args:
        records: of a results file.
        source: its path, from the root of the repository.
    """
    runs = {run["threads"]: run for run in measurements.of(records, "run")}
    most, clock = runs[max(runs)], measurements.clock(records)
    size = "×".join(map(str, SHAPE))
    lines = [
        f"Nanoseconds an element in a jitted call: {size} float32, wall time, {_threads(runs)}. "
        f"In brackets: {_words(clock)} relative to flaxnoise's.",
    ]
    for work in WORKS:
        lines += ["", *_layer_table(records, work, sorted(runs), clock)]
    models = _models(records, clock)
    if models:
        text = f"A whole training step, milliseconds of wall time, {_count(most['threads'])}; "
        lines += ["", text + f"the share of noise is that of {_words(clock)}:"]
        lines += ["", *models]
    lines += ["", *_source([runs[n] for n in sorted(runs)], source), ""]
    return "\n".join(lines)


def _layer_table(
    records: Sequence[Record], work: str, threads: Sequence[int], clock: str
) -> list[str]:
    columns = [(n, direction) for n in threads for direction in ("forward", "gradient")]
    words = {"forward": "forward", "gradient": "with gradient"}
    header = [work, *(f"{words[direction]}, {_count(n)}" for n, direction in columns)]
    own = [
        record
        for name in ("copy", "scale", work)
        for record in measurements.of(
            records, "time", work=name, shape=SHAPE, dtype="float32", mode="jit"
        )
    ]
    own = [record for record in own if not measurements.is_like_linen(record)]
    lines = [_row(header), _row(["---"] + ["---:"] * len(columns))]
    for name in dict.fromkeys(map(_name, own)):
        cells = []
        for n, direction in columns:
            there = [r for r in own if r["threads"] == n and r["pass"] == direction]
            mine = next((r for r in there if _name(r) == name), None)
            base = next((r for r in there if r["library"] == "flaxnoise"), None)
            cells.append(_cell(mine, base, clock))
        lines.append(_row([name, *cells]))
    return lines


def _name(record: Record) -> str:
    return NAMES.get(record["work"]) or measurements.name(record)


def _cell(record: Record | None, base: Record | None, clock: str) -> str:
    if record is None:
        return "–"
    text = f"{measurements.nanoseconds(record):.2f}"
    if base is None or base is record:
        return f"**{text}**" if base is record else text
    return f"{text} ({measurements.relative(record, base, clock):.1f}×)"


def _models(records: Sequence[Record], clock: str) -> list[str]:
    threads = max(run["threads"] for run in measurements.of(records, "run"))
    steps = measurements.of(records, "time", threads=threads, **{"pass": "training step"})
    if not steps:
        return []
    header = ["model", "no dropout", "Flax's Dropout", "flaxnoise", "share of noise, Flax / ours"]
    lines = [_row(header), _row(["---"] + ["---:"] * 4)]
    for work in dict.fromkeys(record["work"] for record in steps):
        own = [measurements.one(steps, "time", work=work, library=name) for name in LIBRARIES]
        if all(own):
            times = [f"{record['wall']['median'] * 1e3:.1f}" for record in own if record]
            shares = [noise_share(record, steps, clock) for record in own[1:] if record]
            share = " / ".join(f"{value:.0%}" for value in shares if value is not None)
            lines.append(_row([work, *times, share]))
    return lines


def _source(runs: Sequence[Record], source: str) -> list[str]:
    most = runs[-1]
    versions = ", ".join(f"{name} {text}" for name, text in most["versions"].items())
    quick = " --quick" if most["settings"]["quick"] else ""
    commits = " and ".join(dict.fromkeys(run["commit"] for run in runs))
    loads = " and ".join(str(run["load"]) for run in runs)
    extra = "bench-torch" if "torch" in most["versions"] else "bench"
    text = (
        f"Measured on {most['cores']} cores of {most['device']} ({most['simd']}), Python "
        f"{most['python']}, {versions}, at commit {commits} (a + stands for changes on top of it), "
        f"load average {loads} when it began, "
        f"by `python -m bench{quick}` (`pip install '.[{extra}]'` first): medians of "
        f"{most['settings']['rounds']} interleaved samples, warm caches, the correctness of "
        f"every result tested before. All numbers are in [{source}]({source}); this section was "
        "made from it."
    )
    return textwrap.wrap(text, 130, break_long_words=False, break_on_hyphens=False)


def _words(clock: str) -> str:
    return {"cpu": "CPU time", "wall": "wall time"}[clock]


def _threads(runs: dict[int, Record]) -> str:
    return " and ".join(_count(n) for n in sorted(runs))


def _count(threads: int) -> str:
    return f"{threads} thread" + "s" * (threads > 1)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def replaced(readme: str, text: str) -> str:
    """The README with this section between the two marks.

    Raises:
        ValueError: the marks are not there, once each, in their order.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in after:
        raise ValueError(f"README.md must have the lines {BEGIN!r} and {END!r}, once each.")
    return f"{before}{BEGIN}\n{text}{END}{after}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--readme", type=Path, default=README)
    chosen = parser.parse_args(arguments)
    path = chosen.results.resolve()
    inside = path.is_relative_to(README.parent)
    source = str(path.relative_to(README.parent)) if inside else chosen.results.name
    old = chosen.readme.read_text()
    new = replaced(old, section(measurements.read(path), source))
    if not chosen.check:
        chosen.readme.write_text(new)
    elif new != old:
        sys.exit(f"{chosen.readme} is not what {source} makes of it: run bench.readme again.")


if __name__ == "__main__":
    main()
