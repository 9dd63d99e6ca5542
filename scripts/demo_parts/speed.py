"""Part 4: a first look at speed, with the contenders, checks and timing of bench."""

import sys
from pathlib import Path

import jax
import numpy as np
from matplotlib.figure import Figure

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench import results
from bench.contenders import contenders
from bench.intervals import spread
from bench.measure import Contender, Record, Row, Setting, measure
from bench.report import ours
from demo_parts import report

SHAPE = (1024, 1024)  # 4 MB: for larger results, page faults of fresh memory dominate the time
ROUNDS = 30
WORKS = ("scale", "dropout", "gaussian_noise")
# The table of bench has more libraries, which a first look leaves out.
LIBRARIES = ("jax", "flaxnoise", "flax.linen", "jax.random")
DIRECTIONS = {"forward": "forward", "gradient": "forward and backward"}


def chosen(platform: str) -> list[Contender]:
    """Returns the multiplication, and for each work ours and the baseline of JAX or Flax."""
    found: dict[tuple[str, str], Contender] = {}
    for contender in contenders(platform, *WORKS):
        if contender.library in LIBRARIES:
            found.setdefault((contender.work, contender.library), contender)
    return list(found.values())


def measured(rounds: int, shape: tuple[int, ...] = SHAPE) -> dict[str, list[Record]]:
    """Measures both directions; returns direction → the records of all contenders.

    Raises:
        ArithmeticError: a contender's result is wrong.
    """
    own = chosen(jax.default_backend())
    found = {}
    for direction in DIRECTIONS:
        rows = [Row(Setting(shape, direction=direction), own)]
        records = list(measure(rows, rounds))
        for record in results.of(records, "refused"):
            raise ArithmeticError(f"{results.name(record)}: {record['reason']}")
        found[direction] = results.of([{**r, "suite": "demo", "threads": 0} for r in records])
    return found


def show(folder: Path) -> None:
    size = int(np.prod(SHAPE))
    report.heading(
        4,
        "Speed, a first look",
        f"{size:,} float32 numbers, jitted; medians of {ROUNDS} interleaved rounds.",
    )
    device = jax.devices()[0]
    # CPU time is affected least by other processes, but says little about an accelerator.
    clock = "cpu" if device.platform == "cpu" else "wall"
    report.console.print(f"device: {device.platform} ({device.device_kind})")
    records = measured(ROUNDS)
    report.console.print(
        f"Every result was checked first, to 6 σ. Ratios are of {clock} time. "
        "`python -m bench` measures more functions and settings."
    )
    for direction, own in records.items():
        limit = next(record for record in own if record["work"] == "scale")
        rows = []
        for record in own:
            base = ours(record["work"], own)
            numbers = [spread(record[c]).median / size * 1e9 for c in ("wall", "cpu")]
            ratios = [
                results.relative(record, other, clock).median for other in (limit, base) if other
            ]
            cells = [f"{value:.2f}" for value in numbers] + [f"{value:.1f}" for value in ratios]
            rows.append([label(record), *cells, *[""] * (4 - len(cells))])
        columns = ("wall ns per\nelement", "cpu ns,\nall cores", "times\nx * 1.25", "times\nours")
        report.table([DIRECTIONS[direction], *columns], rows)
    for line in takeaways(records, clock):
        report.takeaway(line)
    report.save(picture(records, clock), folder, "4_speed.png")


def label(record: Record) -> str:
    work = "" if record["work"] == "scale" else f"{record['work']}, "
    return work + results.name(record)


def takeaways(records: dict[str, list[Record]], clock: str) -> list[str]:
    """Returns a line for each baseline with its time relative to ours."""
    lines = []
    for record in records["forward"]:
        if record["library"] not in ("flaxnoise", "jax"):
            times = []
            for own in records.values():
                (same,) = (r for r in own if label(r) == label(record))
                base = ours(same["work"], own)
                assert base is not None
                times.append(results.relative(same, base, clock).median)
            lines.append(
                f"{label(record)} takes {times[0]:.1f} times the {clock} time of flaxnoise; "
                f"{times[1]:.1f} times with the backward pass."
            )
    return lines


def picture(records: dict[str, list[Record]], clock: str) -> Figure:
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    axes = figure.subplots()
    for shift, alpha, own in zip((-0.2, 0.2), (1.0, 0.5), records.values(), strict=True):
        values = [spread(r[clock]).median / results.elements(r) * 1e9 for r in own]
        colours = ["#009E73" if r["library"] == "flaxnoise" else "#999999" for r in own]
        places = np.arange(len(own)) + shift
        bars = axes.barh(places, values, 0.38, color=colours, alpha=alpha)
        axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.set_yticks(range(len(records["forward"])), map(label, records["forward"]))
    axes.invert_yaxis()
    axes.margins(x=0.08)
    axes.set(xlabel=f"nanoseconds per element (median {clock} time; lower is better)")
    axes.set_title("Dark: forward. Light: forward and backward. Green: flaxnoise.")
    return figure
