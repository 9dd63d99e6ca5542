"""Elements a nanosecond against the bytes that each moves, under what memory allows."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench import measurements
from bench.measurements import Record
from bench.pictures.style import LIMITS, colour, elements, footnote, jitted, label, spread_out

SHAPES = ([256, 1024], [4096, 1024])
WORKS = ("dropout", "gaussian_noise", *LIMITS)


def draw(records: Sequence[Record], run: Record) -> Figure:
    figure = Figure(figsize=(13, 6.5), layout="constrained")
    for axes, shape in zip(figure.subplots(1, 2), SHAPES, strict=True):
        _panel(axes, jitted(records, shape=shape, mode="jit"))
        axes.set_title(f"{elements(int(np.prod(shape)))} elements, float32, forward, jitted")
    figure.suptitle(
        "Roofline: the line is what a copy reaches here; under it, arithmetic is what takes time"
    )
    footnote(figure, run)
    return figure


def moved(record: Record) -> float:
    """Bytes an element: arguments and results once, temporaries written and read."""
    return (record["moved"] + 2 * record["temporary"]) / record["elements"]


def _panel(axes: Axes, records: Sequence[Record]) -> None:
    records = [r for r in records if r["work"] in WORKS and "moved" in r]
    if not records:
        return
    points = [(moved(r), 1 / measurements.nanoseconds(r), r) for r in records]
    limit = measurements.one(records, "time", work="copy")
    low, high = (f(x for x, _, _ in points) for f in (min, max))
    if limit is not None:
        bandwidth = moved(limit) / measurements.nanoseconds(limit)
        ends = np.array([low * 0.8, high * 1.3])
        axes.plot(ends, bandwidth / ends, color="#000000", linewidth=1.5)
        axes.annotate(
            f"copy: {bandwidth:.1f} GB/s", (ends[1], bandwidth / ends[1]), fontsize=9, va="bottom"
        )
    places = dict(
        zip(range(len(points)), spread_out([np.log10(y) for _, y, _ in points], 0.055), strict=True)
    )
    for i, (x, y, record) in enumerate(points):
        shape = "s" if record["work"] == "gaussian_noise" else "o"
        axes.plot(x, y, shape, color=colour(record), markersize=6)
        text = label(record) + (" (noise)" if shape == "s" else "")
        axes.annotate(
            text,
            (x, y),
            (high * 2, 10 ** places[i]),
            fontsize=8.5,
            color=colour(record),
            va="center",
            arrowprops={"arrowstyle": "-", "color": colour(record), "linewidth": 0.4},
        )
    axes.set(xscale="log", yscale="log", xlim=(low * 0.7, high * 8))
    axes.set_xlabel("bytes an element: argument + result + 2 × temporary memory")
    axes.set_ylabel("elements a nanosecond (higher is better)")
    axes.grid(alpha=0.25)
