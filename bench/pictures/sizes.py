"""Nanoseconds an element against the number of elements, with memory's limit."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from bench import measurements
from bench.measurements import Record
from bench.pictures.style import LIMITS, colour, elements, footnote, jitted, label, label_ends

MARKERS = "osv^D<>p"


def draw(records: Sequence[Record], run: Record) -> Figure:
    figure = Figure(figsize=(13, 7), layout="constrained")
    for axes, work in zip(figure.subplots(1, 2), ("dropout", "gaussian_noise"), strict=True):
        _panel(axes, [r for r in jitted(records) if r["work"] in (work, *LIMITS)], work)
    figure.suptitle("What an element costs: forward, float32, jitted; lower is better")
    footnote(figure, run)
    return figure


def _panel(axes: Axes, records: Sequence[Record], work: str) -> None:
    ends: list[tuple[float, float, str, str]] = []
    seen: dict[str, int] = {}
    # Maps of the same number of elements have another shape: they do other work.
    records = [record for record in records if len(record["shape"]) < 3]
    records = [record for record in records if not measurements.is_like_linen(record)]
    for name in dict.fromkeys(map(label, records)):
        own = sorted((r for r in records if label(r) == name), key=lambda r: r["elements"])
        library = own[0]["library"]
        marker = MARKERS[seen.setdefault(library, 0) % len(MARKERS)]
        seen[library] += 1
        x, y = zip(*((r["elements"], measurements.nanoseconds(r)) for r in own), strict=True)
        limit = own[0]["work"] in LIMITS
        bold = limit or library == "flaxnoise"
        axes.plot(
            x,
            y,
            "--" if limit else "-",
            color=colour(own[0]),
            marker=None if limit else marker,
            markersize=4.5,
            linewidth=2 if bold else 1,
            zorder=3 if bold else 2,
        )
        ends.append((x[-1], y[-1], name, colour(own[0])))
    axes.set(xscale="log", yscale="log", ylabel="wall nanoseconds an element (median)")
    axes.set_title(f"{work}; dashed: memory's limit")
    counts = sorted({r["elements"] for r in records})
    donated = {r["elements"] for r in records if r["mode"] == "donated"}
    texts = [elements(n) + ("\ndonated" if n in donated else "") for n in counts]
    axes.set_xticks(counts, texts)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("elements")
    axes.grid(axis="y", which="major", alpha=0.3)
    if not ends:
        return
    axes.set_xlim(min(counts) * 0.7, max(counts) * 100)
    label_ends(axes, ends, max(counts) * 1.7)
