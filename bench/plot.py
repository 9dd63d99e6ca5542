"""Draws a results file: cost against size, ratios, and how near memory's limit everything is.

python -m bench.plot bench/results/cpu.jsonl --folder out
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from bench import measurements
from bench.measurements import Record
from bench.pictures import bars, roofline, sizes

PICTURES: dict[str, Callable[[Sequence[Record], Record], Figure]] = {
    "sizes": sizes.draw,
    "ratios": bars.draw,
    "roofline": roofline.draw,
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path)
    parser.add_argument("--folder", type=Path, default=Path("out"))
    parser.add_argument("--threads", type=int, help="of the run to draw; by default the most")
    chosen = parser.parse_args(arguments)
    records = measurements.read(chosen.results)
    runs = {run["threads"]: run for run in measurements.of(records, "run")}
    threads = max(runs) if chosen.threads is None else chosen.threads
    if threads not in runs:
        parser.error(f"{chosen.results} has no run with {threads} thread(s), but {sorted(runs)}")
    matplotlib.use("agg")
    chosen.folder.mkdir(parents=True, exist_ok=True)
    timed = measurements.of(records, "time", threads=threads)
    for name, draw in PICTURES.items():
        path = chosen.folder / f"bench_{name}.png"
        draw(timed, runs[threads]).savefig(path)
        print(path)


if __name__ == "__main__":
    main()
