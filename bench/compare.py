"""Compares two results files: how many times as long everything takes in B as in A.

    python -m bench.compare A B
    python -m bench.compare A B --clock wall --only dropout

A ratio is that of medians. Its interval is made of the ends of both medians' 95 % intervals, so
that it is on the wide side; only where it does not hold 1 is a difference called one. CPU time is
compared on CPUs, as what else runs disturbs it less, and wall time elsewhere.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rich import box
from rich.table import Table

from bench import measurements
from bench.measurements import Record
from bench.terminal import console


class Ratio(NamedTuple):
    """B / A, and its interval."""

    record: Record
    value: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        if self.low > 1:
            return "slower"
        return "faster" if self.high < 1 else ""


def ratio(a: Record, b: Record, clock: str) -> Ratio:
    one, other = a[clock], b[clock]
    return Ratio(
        b,
        other["median"] / one["median"],
        other["low"] / one["high"],
        other["high"] / one["low"],
    )


def ratios(a: Sequence[Record], b: Sequence[Record], clock: str) -> list[Ratio]:
    """Of what both have, the largest first."""
    before = {measurements.identity(record): record for record in measurements.of(a, "time")}
    pairs = [
        (before[measurements.identity(record)], record)
        for record in measurements.of(b, "time")
        if measurements.identity(record) in before
    ]
    return sorted((ratio(*pair, clock) for pair in pairs), key=lambda r: r.value, reverse=True)


def alone(a: Sequence[Record], b: Sequence[Record]) -> list[Record]:
    """What a has and b has not."""
    known = {measurements.identity(record) for record in measurements.of(b, "time")}
    return [r for r in measurements.of(a, "time") if measurements.identity(r) not in known]


def different(a: Sequence[Record], b: Sequence[Record]) -> list[str]:
    """What the two runs do not have in common, besides their times."""
    first, second = measurements.of(a, "run")[0], measurements.of(b, "run")[0]
    return [
        f"{name}: {first.get(name)} → {second.get(name)}"
        for name in ("device", "cores", "simd", "commit", "python", "versions", "settings", "load")
        if first.get(name) != second.get(name)
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("a", type=Path)
    parser.add_argument("b", type=Path)
    parser.add_argument("--clock", choices=("cpu", "wall"))
    parser.add_argument("--only", default="", help="works whose name contains this")
    chosen = parser.parse_args(arguments)
    a, b = (measurements.read(path) for path in (chosen.a, chosen.b))
    clock = chosen.clock or measurements.clock([*a, *b])
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("work", "of", "setting", "threads"):
        table.add_column(name)
    for name in (f"B / A, {clock} time", "interval", ""):
        table.add_column(name, justify="right", no_wrap=True)
    for found in ratios(a, b, clock):
        record = found.record
        if chosen.only in record["work"]:
            who = (record["work"], measurements.name(record), measurements.setting(record))
            interval = f"{found.low:.3f} to {found.high:.3f}"
            numbers = (f"{found.value:.3f}", interval, found.verdict)
            table.add_row(*who, str(record["threads"]), *numbers)
    console.print(table)
    for label, records in (("A", alone(a, b)), ("B", alone(b, a))):
        if records:
            console.print(f"{len(records)} measurements are in {label} alone.")
    for line in different(a, b):
        console.print(f"different: {line}")


if __name__ == "__main__":
    main()
