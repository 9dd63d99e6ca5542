"""What all pictures share: sizes, colours, and the line that says what was measured."""

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench import measurements
from bench.measurements import Record
from bench.terminal import LIMITS as LIMITS

matplotlib.rcParams.update(
    {
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlesize": 11,
        "axes.titlelocation": "left",
        "figure.dpi": 130,
        "font.size": 9.5,
        "legend.frameon": False,
    }
)

# Okabe and Ito's colours, which the colour-blind can tell apart.
COLOURS = {
    "flaxnoise": "#009E73",
    "flax.linen": "#0072B2",
    "flax.nnx": "#56B4E9",
    "keras": "#D55E00",
    "torch": "#CC79A7",
    "numpy": "#999999",
    "equinox": "#E69F00",
    "haiku": "#B8A800",
    "jax": "#5B3A8C",
}


def colour(record: Record) -> str:
    return "#000000" if record["work"] in LIMITS else COLOURS.get(record["library"], "#999999")


def label(record: Record) -> str:
    """As short as can be: "flaxnoise cpu", "x * 1.25"."""
    if record["work"] in LIMITS:
        return record["variant"]
    return f"{record['library']} {record['variant']}".strip()


def footnote(figure: Figure, run: Record) -> None:
    versions = ", ".join(
        f"{name} {run['versions'][name]}"
        for name in ("jax", "flax", "keras", "equinox", "dm-haiku", "torch", "numpy")
        if name in run["versions"]
    )
    figure.supxlabel(
        f"{run['device']}, {run['threads']} thread(s), SIMD {run['simd']}; {versions}; "
        f"commit {run['commit']}",
        fontsize=7.5,
        color="#555555",
    )


def elements(count: int) -> str:
    return f"{count >> 20} Mi" if count >= 1 << 20 else f"{count >> 10} Ki"


def jitted(records: Sequence[Record], **wanted: object) -> list[Record]:
    """Of layers in float32 as they are mostly used, without other shapes of a size."""
    wanted = {"dtype": "float32", "pass": "forward", **wanted}
    found = measurements.of(records, "time", **wanted)
    return [r for r in found if r["mode"] != "eager" and r["elements"] & (r["elements"] - 1) == 0]


def label_ends(axes: Axes, ends: Sequence[tuple[float, float, str, str]], x: float) -> None:
    """Names of points on a logarithmic axis, (x, y, name, colour), in one column at ``x``."""
    low, high = np.log10(axes.get_ylim())
    heights = spread_out([float(np.log10(y)) for _, y, _, _ in ends], 0.024 * (high - low))
    for (place, y, name, shade), height in zip(ends, heights, strict=True):
        line = {"arrowstyle": "-", "color": shade, "linewidth": 0.5, "relpos": (0, 0.5)}
        axes.annotate(
            name,
            (place, y),
            (x, 10**height),
            color=shade,
            fontsize=8.5,
            va="center",
            arrowprops={**line, "shrinkA": 1, "shrinkB": 2},
        )


def spread_out(heights: Sequence[float], gap: float) -> list[float]:
    """Heights at least ``gap`` apart, in their order, groups of them centred on where they were."""
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    groups: list[list[int]] = []
    bottoms: list[float] = []
    for i in order:
        groups.append([i])
        bottoms.append(heights[i])
        while len(groups) > 1 and bottoms[-1] < bottoms[-2] + gap * len(groups[-2]):
            groups[-2:] = [groups[-2] + groups[-1]]
            middle = sum(heights[j] for j in groups[-1]) / len(groups[-1])
            bottoms[-2:] = [middle - gap * (len(groups[-1]) - 1) / 2]
    placed = [0.0] * len(heights)
    for group, bottom in zip(groups, bottoms, strict=True):
        for step, i in enumerate(group):
            placed[i] = bottom + gap * step
    return placed
