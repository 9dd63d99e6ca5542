"""Pictures of a results file: cost against size, and times relative to flaxnoise's.

python -m bench.plot bench/results/cpu.jsonl --folder out
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from bench import results
from bench.expectations import LIMITS
from bench.intervals import spread
from bench.measure import Record
from bench.report import ours

# Okabe and Ito's colours, which the colour-blind can tell apart.
COLOURS = {
    "flaxnoise": "#009E73",
    "flax.linen": "#0072B2",
    "flax.nnx": "#56B4E9",
    "keras": "#D55E00",
    "torch": "#CC79A7",
    "numpy": "#999999",
    "equinox": "#E69F00",
    "optax": "#E69F00",
    "haiku": "#B8A800",
    "jax.random": "#5B3A8C",
}
STYLE: Any = {
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.dpi": 130,
    "font.size": 9.5,
}
WORKS = ("dropout", "gaussian_noise")
SQUARE = [1024, 1024]


def sizes(records: Sequence[Record], run: Record) -> Figure:
    """Nanoseconds an element against the number of elements."""
    figure = Figure(figsize=(13, 7), layout="constrained")
    own = results.of(records, dtype="float32", direction="forward", mode=("jit", "donated"))
    own = [record for record in own if len(record["shape"]) < 3]
    for axes, work in zip(figure.subplots(1, 2), WORKS, strict=True):
        of_work = [record for record in own if record["work"] in (work, *LIMITS)]
        for name in dict.fromkeys(map(label, of_work)):
            _line(axes, [record for record in of_work if label(record) == name])
        axes.set(xscale="log", yscale="log", ylabel="wall nanoseconds an element", title=work)
        counts = sorted({results.elements(record) for record in of_work})
        axes.set_xticks(counts, [_count(count) for count in counts])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("elements")
        axes.grid(axis="y", alpha=0.3)
        axes.legend(fontsize=8, frameon=False)
    figure.suptitle("What an element costs: forward, float32, jitted. Dashed: memory's limit")
    _footnote(figure, run)
    return figure


def ratios(records: Sequence[Record], run: Record) -> Figure:
    """CPU time of baselines relative to flaxnoise's, with 95 % intervals."""
    figure = Figure(figsize=(12, 9), layout="constrained")
    grid = figure.subplots(len(WORKS), 2, sharex=True)
    for work, line in zip(WORKS, grid, strict=True):
        for direction, axes in zip(("forward", "gradient"), line, strict=True):
            setting = {"shape": SQUARE, "dtype": "float32", "mode": "jit", "direction": direction}
            _bars(axes, results.of(records, work=work, **setting))
            axes.set(xscale="log", title=f"{work}, {direction}")
            axes.axvline(1, color=COLOURS["flaxnoise"], linewidth=1.2)
            axes.invert_yaxis()
    figure.suptitle("CPU time relative to flaxnoise's (1); lines: 95 % intervals")
    _footnote(figure, run)
    return figure


PICTURES = {"sizes": sizes, "ratios": ratios}


def label(record: Record) -> str:
    """Without the brackets of the tables: "flaxnoise cpu", "x * 1.25"."""
    if record["work"] in LIMITS:
        return record["variant"]
    return f"{record['library']} {record['variant']}".strip()


def _line(axes: Axes, own: Sequence[Record]) -> None:
    own = sorted(own, key=results.elements)
    x = [results.elements(record) for record in own]
    y = [spread(r["wall"]).median * 1e9 / n for r, n in zip(own, x, strict=True)]
    limit = own[0]["work"] in LIMITS
    colour = "#000000" if limit else COLOURS[own[0]["library"]]
    width = 2 if limit or own[0]["library"] == "flaxnoise" else 1
    marker = "" if limit else "o"
    style = "--" if limit else "-"
    axes.plot(x, y, style, color=colour, marker=marker, linewidth=width, label=label(own[0]))


def _bars(axes: Axes, own: Sequence[Record]) -> None:
    base = ours(own[0]["work"], own) if own else None
    if base is None:
        return
    others = [record for record in own if record is not base]
    found = [results.relative(record, base, "cpu") for record in others]
    places = np.arange(len(found))
    errors = [[f.median - f.low for f in found], [f.high - f.median for f in found]]
    colours = [COLOURS[record["library"]] for record in others]
    widths = [f.median - 1 for f in found]
    axes.barh(places, widths, 0.7, left=1, color=colours, xerr=errors)
    for place, f in zip(places, found, strict=True):
        axes.text(max(f.high, 1) * 1.08, float(place), f"{f.median:.2g}", va="center", fontsize=8.5)
    axes.set_yticks(places, [label(record) for record in others])
    axes.margins(x=0.12)


def _count(count: int) -> str:
    return f"{count >> 20} Mi" if count >= 1 << 20 else f"{count >> 10} Ki"


def _footnote(figure: Figure, run: Record) -> None:
    versions = ", ".join(f"{name} {text}" for name, text in run["versions"].items())
    text = f"{run['device']}, {run['threads']} threads, {run['simd']}; {versions}; {run['commit']}"
    figure.supxlabel(text, fontsize=7.5, color="#555555")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("results", type=Path, nargs="?", default=results.FOLDER / "cpu.jsonl")
    parser.add_argument("--folder", type=Path, default=Path("out"))
    parser.add_argument("--threads", type=int, help="of the run to draw; by default the most")
    options = parser.parse_args(arguments)
    records = results.read(options.results)
    runs = {run["threads"]: run for run in results.of(records, "run", suite="layers")}
    threads = options.threads or max(runs)
    own = results.of(records, suite="layers", threads=threads)
    options.folder.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(STYLE):
        for name, draw in PICTURES.items():
            path = options.folder / f"bench_{name}.png"
            draw(own, runs[threads]).savefig(path)
            print(path)


if __name__ == "__main__":
    main()
