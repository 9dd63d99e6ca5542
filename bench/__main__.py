"""Measures what flaxnoise and its rivals cost, prints tables, and writes a results file.

    python -m bench --quick              under a minute, all threads
    python -m bench                      one thread, then all: up to a quarter of an hour
    python -m bench --only dropout       works whose name contains this

Whatever gives a wrong result is not timed, and fails the run. On a CPU each number of threads has a
process of its own, as XLA makes its pool of threads once; on GPU and TPU there is one.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from bench import measurements


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few cases, few samples")
    parser.add_argument("--only", default="", help="works whose name contains this")
    parser.add_argument("--threads", type=int, nargs="*", help="CPUs to use; by default 1, and all")
    parser.add_argument("--rounds", type=int, help="samples of each; by default 15, or 5 if quick")
    parser.add_argument("--output", type=Path, default=Path("out", "bench.jsonl"))
    parser.add_argument("--part", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    available = len(os.sched_getaffinity(0))
    if chosen.part:
        measure_here(chosen, available)
        return
    threads = chosen.threads or ([available] if chosen.quick else [available, 1])
    records = []
    for count in dict.fromkeys(threads):
        if records and records[0]["platform"] != "cpu":
            break
        records += in_a_process(chosen, count)
    order = ["run", "missing", "refused", "absent", "time"]
    unique = {str(record): record for record in records}.values()
    records = sorted(unique, key=lambda record: order.index(record["record"]))
    measurements.write(chosen.output, records)

    from bench import terminal

    terminal.show(records)
    terminal.console.print(f"Written to {chosen.output}.")
    if measurements.of(records, "refused"):
        sys.exit("Some results were wrong: see above. They were not timed.")


def in_a_process(chosen: argparse.Namespace, threads: int) -> list[measurements.Record]:
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder, "part.jsonl")
        command = [sys.executable, "-m", "bench", "--part", "--output", str(part)]
        command += ["--threads", str(threads), "--only", chosen.only]
        if chosen.quick:
            command.append("--quick")
        if chosen.rounds:
            command += ["--rounds", str(chosen.rounds)]
        subprocess.run(command, check=True)
        return measurements.read(part)


def measure_here(chosen: argparse.Namespace, available: int) -> None:
    """In this process, with as many CPUs as were asked for."""
    threads = min(chosen.threads[0], available)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    os.environ.setdefault("KERAS_BACKEND", "jax")
    from bench.session import session

    rounds = chosen.rounds or (5 if chosen.quick else 15)
    measurements.write(chosen.output, session(chosen.quick, chosen.only, threads, rounds))


if __name__ == "__main__":
    main()
