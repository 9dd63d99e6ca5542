"""Prints results on the terminal, and compares two results files.

python -m bench.report A B        the ratios of times, B / A
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench import results
from bench.contenders import missing
from bench.intervals import Spread, spread
from bench.measure import Record, Row, measure

PER_ELEMENT = ("forward", "gradient")  # directions whose times are shown per element
FACTS = {"kept": "kept B/el", "temporary": "temporary B", "compile": "compile s", "text": "text"}


def records(name: str, rows: Iterable[Row], rounds: int, run: Record) -> list[Record]:
    """Measures a suite and returns its records; that of the run comes first."""
    about = {"suite": name, "threads": run["threads"]}
    gone = missing(run["platform"]).items()
    found = [{"record": "missing", "library": library, "reason": why} for library, why in gone]
    found += measure(rows, rounds, progress)
    return [run, *({**record, **about} for record in found)]


def progress(line: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)


def show(everything: Sequence[Record]) -> None:
    for run in results.of(everything, "run"):
        about = {"suite": run["suite"], "threads": run["threads"]}
        heading(run)
        for record in results.of(everything, "compiled", suite=run["suite"]):
            print(compiled(record))
        own = results.of(everything, **about)
        for row in dict.fromkeys(record["row"] for record in own):
            same = results.of(own, row=row)
            print(f"\n{results.setting(same[0])}")
            for record in same:
                print(line(record, ours(record["work"], same)))
        for kind in ("missing", "absent", "refused"):
            for record in results.of(everything, kind, **about):
                print(f"{kind}: {text(record)}: {record['reason']}")


def compiled(record: Record) -> str:
    shape = "×".join(map(str, record["shape"]))
    facts = [
        f"{name} {value:g}" for name, value in record.items() if isinstance(value, int | float)
    ]
    return f"  {record['case']:<44}{shape:<14}{record['dtype']:<9}" + "  ".join(facts)


def heading(run: Record) -> None:
    versions = ", ".join(f"{name} {text}" for name, text in run["versions"].items())
    print(f"\n== {run['suite']}: {run['threads']} threads of {run['device']} ({run['simd']})")
    print(f"commit {run['commit']}, load {run['load']}, Python {run['python']}, {versions}")
    for doubt in [] if run["suite"].startswith("aot") else results.doubts(run):
        print(f"not for README: {doubt}")


def text(record: Record) -> str:
    if "work" not in record:
        return record["library"]
    return f"{record['work']}, {results.name(record)}, {results.setting(record)}"


def ours(work: str, records: Iterable[Record]) -> Record | None:
    """Returns the record of flaxnoise's default backend among those of a row, if there is one."""
    return next((r for r in records if (r["work"], r["library"]) == (work, "flaxnoise")), None)


def line(record: Record, base: Record | None) -> str:
    """Formats wall and CPU time with their intervals' half widths, the CPU ratio, and facts."""
    cells = [f"  {record['work']:<24}{results.name(record):<32}"]
    unit, scale = ("ns/el", 1e9 / results.elements(record))
    if record["direction"] not in PER_ELEMENT:
        unit, scale = "ms", 1e3
    for clock in ("wall", "cpu"):
        found = spread(record[clock])
        cells.append(f"{found.median * scale:9.3f} {unit} {clock} ±{found.width:4.0%}")
    if base is not None:
        cells.append(f"{results.relative(record, base, 'cpu').median:8.2f}×")
    cells += [f"{label} {record[name]:.4g}" for name, label in FACTS.items() if name in record]
    return "  ".join(cells)


def ratios(a: Sequence[Record], b: Sequence[Record], clock: str) -> list[tuple[Record, Spread]]:
    """Returns the ratios b / a of the records that both files have, the largest first."""
    before = {results.identity(record): record for record in results.of(a)}
    pairs = [
        (record, results.unpaired(record, before[results.identity(record)], clock))
        for record in results.of(b)
        if results.identity(record) in before
    ]
    return sorted(pairs, key=lambda pair: pair[1].median, reverse=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Ratios of two results files, B / A.")
    parser.add_argument("a", type=Path)
    parser.add_argument("b", type=Path)
    parser.add_argument("--clock", choices=("cpu", "wall"), default="cpu")
    options = parser.parse_args(arguments)
    for record, found in ratios(results.read(options.a), results.read(options.b), options.clock):
        verdict = "slower" if found.low > 1 else "faster" if found.high < 1 else ""
        interval = f"{found.median:8.3f}  {found.low:.3f} to {found.high:.3f}  {verdict:<8}"
        print(f"{interval}{record['suite']}, {record['threads']} threads: {text(record)}")


if __name__ == "__main__":
    main()
