"""How many times as long as flaxnoise the others take, with intervals."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench import measurements
from bench.compare import Ratio, ratio
from bench.measurements import Record
from bench.pictures.style import colour, footnote, jitted, label
from bench.terminal import ours

WORKS = ("dropout", "gaussian_noise")
SHAPE = [1024, 1024]


def draw(records: Sequence[Record], run: Record) -> Figure:
    clock = measurements.clock([run])
    panels = [
        (work, direction, _ratios(records, work, direction, clock))
        for work in WORKS
        for direction in ("forward", "gradient")
    ]
    tall = [max(len(found) for _, _, found in panels[i : i + 2]) + 1 for i in (0, 2)]
    figure = Figure(figsize=(12, 1.6 + 0.27 * sum(tall)), layout="constrained")
    grid = figure.subplots(2, 2, height_ratios=tall, sharex=True)
    for axes, (work, direction, found) in zip(grid.ravel(), panels, strict=True):
        title = "forward" if direction == "forward" else "forward and backward"
        _panel(axes, found, f"{work}, {title}")
    for axes in grid[1]:
        axes.set_xlabel("times flaxnoise's time")
    time = f"{clock.replace('cpu', 'CPU')} time"
    figure.suptitle(
        f"{time} of others, relative to flaxnoise's (1): 1 Mi elements, float32, jitted.\n"
        "Thin lines: 95 % intervals. Right of 1 is slower than flaxnoise."
    )
    footnote(figure, run)
    return figure


def _ratios(records: Sequence[Record], work: str, direction: str, clock: str) -> list[Ratio]:
    wanted = {"mode": "jit", "shape": SHAPE, "pass": direction}
    own = jitted(records, work=work, **wanted)
    limits = [r for name in ("copy", "scale") for r in jitted(records, work=name, **wanted)]
    base = ours(own, measurements.setting(own[0])) if own else None
    if base is None:
        return []
    return [ratio(base, record, clock) for record in (*limits, *own) if record is not base]


def _panel(axes: Axes, found: Sequence[Ratio], title: str) -> None:
    places = np.arange(len(found))
    values = [r.value for r in found]
    errors = [[r.value - r.low for r in found], [r.high - r.value for r in found]]
    axes.barh(
        places,
        [value - 1 for value in values],
        0.7,
        left=1,  # where flaxnoise is
        color=[colour(r.record) for r in found],
        xerr=errors if found else None,
        error_kw={"elinewidth": 0.8, "ecolor": "#333333"},
    )
    for place, r in zip(places, found, strict=True):
        axes.text(max(r.high, 1) * 1.08, place, f"{r.value:.2g}", va="center", fontsize=8.5)
    axes.axvline(1, color="#009E73", linewidth=1.2)
    axes.set(xscale="log")
    axes.set_yticks(places, [label(r.record) for r in found])
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_title(title)
