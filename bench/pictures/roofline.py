"""Elements a nanosecond against the bytes that each moves, under what memory allows."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, NullFormatter, NullLocator

from bench import measurements
from bench.measurements import Record
from bench.pictures.style import LIMITS, colour, elements, footnote, jitted, label, label_ends

SHAPES = ([256, 1024], [4096, 1024])
WORKS = ("dropout", "gaussian_noise", *LIMITS)


def draw(records: Sequence[Record], run: Record) -> Figure:
    figure = Figure(figsize=(13, 6.5), layout="constrained")
    for axes, shape in zip(figure.subplots(1, 2), SHAPES, strict=True):
        _panel(axes, jitted(records, shape=shape, mode="jit"))
        axes.set_title(f"{elements(int(np.prod(shape)))} elements, float32, forward, jitted")
    figure.suptitle(
        "Roofline: the line is what a copy into a fresh result reaches here; "
        "below it, arithmetic is what takes time"
    )
    footnote(figure, run)
    return figure


def moved(record: Record) -> float:
    """Bytes an element: arguments and results once, temporaries written and read."""
    return (record["moved"] + 2 * record["temporary"]) / record["elements"]


def _panel(axes: Axes, records: Sequence[Record]) -> None:
    records = [r for r in records if r["work"] in WORKS and "moved" in r]
    records = [r for r in records if not measurements.is_like_linen(r)]
    if not records:
        return
    points = [(moved(r), 1 / measurements.nanoseconds(r), r) for r in records]
    limit = measurements.one(records, "time", work="copy")
    low, high = (f(x for x, _, _ in points) for f in (min, max))
    if limit is not None:
        bandwidth = moved(limit) / measurements.nanoseconds(limit)
        reach = np.array([low * 0.8, high * 1.3])
        axes.plot(reach, bandwidth / reach, color="#000000", linewidth=1.5)
        text = f"a copy: {bandwidth:.1f} GB/s"
        axes.annotate(text, (reach[0], bandwidth / reach[0]), (4, 4), textcoords="offset points")
    ends = []
    for x, y, record in points:
        noise = record["work"] == "gaussian_noise"
        axes.plot(x, y, "s" if noise else "o", color=colour(record), markersize=6)
        ends.append((x, y, label(record) + " (noise)" * noise, colour(record)))
    axes.set(xscale="log", yscale="log", xlim=(low * 0.7, high * 6))
    axes.margins(y=0.1)
    label_ends(axes, ends, high * 1.6)
    ticks = [8 * 2**i for i in range(12) if low * 0.7 < 8 * 2**i < high * 1.5]
    axes.set_xticks(ticks, map(str, ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("bytes an element: argument + result + 2 × temporary memory")
    axes.set_ylabel("elements a nanosecond (higher is better)")
    axes.grid(alpha=0.25)
