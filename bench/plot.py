"""Plots a results file: cost against size, times relative to flaxnoise's, attention.

python -m bench.plot bench/results/cpu.jsonl --folder out
python -m bench.plot --docs             draws the picture of attention into the documentation
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
from bench.readme import PICTURE
from bench.report import ours

# The colour-blind-safe palette of Okabe and Ito.
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
    "jax.nn": "#5B3A8C",
}
STYLE: Any = {
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.dpi": 130,
    "font.size": 9.5,
}
WORKS = ("dropout", "gaussian_noise")
WITH = "attention with dropout"
SQUARE = [1024, 1024]


def sizes(records: Sequence[Record], run: Record) -> Figure:
    """Plots nanoseconds per element against the number of elements."""
    figure = Figure(figsize=(13, 7), layout="constrained")
    own = results.of(records, dtype="float32", direction="forward", mode=("jit", "donated"))
    own = [record for record in own if len(record["shape"]) < 3]
    for axes, work in zip(figure.subplots(1, 2), WORKS, strict=True):
        of_work = [record for record in own if record["work"] in (work, *LIMITS)]
        for name in dict.fromkeys(map(label, of_work)):
            _line(axes, [record for record in of_work if label(record) == name])
        axes.set(xscale="log", yscale="log", ylabel="wall nanoseconds per element", title=work)
        counts = sorted({results.elements(record) for record in of_work})
        axes.set_xticks(counts, [_count(count) for count in counts])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("elements")
        axes.grid(axis="y", alpha=0.3)
        axes.legend(fontsize=8, frameon=False)
    figure.suptitle("Cost per element: forward, float32, jitted. Dashed: the limit set by memory")
    _footnote(figure, run)
    return figure


def ratios(records: Sequence[Record], run: Record) -> Figure:
    """Plots the CPU time of baselines relative to flaxnoise's, with 95 % intervals."""
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


def attention(records: Sequence[Record], run: Record) -> Figure:
    """Plots time and temporary memory of the gradient of attention against the length."""
    figure = Figure(figsize=(13, 6), layout="constrained")
    own = results.of(records, dtype="float32", direction="gradient", work=("attention", WITH))
    for axes, what in zip(figure.subplots(1, 2), ("wall", "temporary"), strict=True):
        names = ("work", "library", "variant")
        for kind in dict.fromkeys(tuple(r[name] for name in names) for r in own):
            of_kind = [r for r in own if tuple(r[name] for name in names) == kind and what in r]
            _attention_line(axes, sorted(of_kind, key=results.elements), what)
        lengths = sorted({record["shape"][1] for record in own})
        _square(axes, lengths)
        axes.set(xscale="log", yscale="log", xlabel="queries = keys")
        axes.set_xticks(lengths, [str(length) for length in lengths])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.grid(axis="y", alpha=0.3)
        axes.legend(fontsize=8, frameon=False)
    left, right = figure.axes
    left.set(title="time", ylabel="wall milliseconds")
    right.set(title="memory", ylabel="temporary MiB")
    figure.suptitle("Attention and its gradients, 4 heads of 64, float32")
    _footnote(figure, run)
    return figure


# Name → (function that draws it, the suite it shows).
PICTURES = {
    "sizes": (sizes, "layers"),
    "ratios": (ratios, "layers"),
    "attention": (attention, "attention"),
}


def label(record: Record) -> str:
    """Returns a label for the legend: "flaxnoise cpu", "x * 1.25"."""
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


def _attention_line(axes: Axes, own: Sequence[Record], what: str) -> None:
    if not own:
        return
    y = [r[what] / 2**20 if what == "temporary" else spread(r[what]).median * 1e3 for r in own]
    first = own[0]
    drops, holds = first["work"] == WITH, first["variant"] == "attention_dropout"
    axes.plot(
        [record["shape"][1] for record in own],
        y,
        "-." if holds else "-" if drops else "--",
        color=COLOURS[first["library"]],
        marker="o",
        linewidth=2 if first["library"] == "flaxnoise" and not holds else 1,
        label=f"{first['library']}, {'with' if drops else 'without'} dropout"
        + ", weights held" * holds,
    )


def _square(axes: Axes, lengths: Sequence[int]) -> None:
    """Draws a line ∝ length² through the highest first point."""
    firsts = [float(np.asarray(line.get_ydata())[0]) for line in axes.get_lines()]
    if firsts:
        y = [max(firsts) * (length / lengths[0]) ** 2 for length in lengths]
        axes.plot(lengths, y, ":", color="#000000", linewidth=1, label="∝ length²")


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
    parser.add_argument("--docs", action="store_true", help="the picture in the guides alone")
    options = parser.parse_args(arguments)
    records = results.read(options.results)
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, (draw, suite) in PICTURES.items():
        runs = {run["threads"]: run for run in results.of(records, "run", suite=suite)}
        if not runs or (options.docs and name != "attention"):
            continue
        threads = options.threads or max(runs)
        path = PICTURE if options.docs else options.folder / f"bench_{name}.png"
        with matplotlib.rc_context(STYLE):
            draw(results.of(records, suite=suite, threads=threads), runs[threads]).savefig(path)
        print(path)


if __name__ == "__main__":
    main()
