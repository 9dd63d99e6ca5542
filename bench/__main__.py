"""Measures what flaxnoise and its baselines cost, and writes a results file.

    python -m bench layers --quick              under a minute
    python -m bench layers models               two suites
    python -m bench all --output bench/results/cpu.jsonl
    python -m bench layers --only dropout       only works whose name contains "dropout"
    python -m bench aot --output bench/results/aot.jsonl       compiled for GPUs and TPUs, not run
    python -m bench aot-attention --output bench/results/aot.jsonl       the same for attention
    python -m bench goals                       compares the results in bench/results with the goals
    python bench/device.py                      on a GPU or TPU: an exact check, then times
    python -m bench.readme                      writes README's section on speed from bench/results

A wrong result is not timed and fails the run. Each suite runs in its own process for each number of
threads, since XLA creates its thread pool once. New results of a suite replace those in the file.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import jax

from bench import aot, goals, report, results
from bench.measure import Record
from bench.suites import SUITES

AHEAD_OF_TIME = ("aot", "aot-attention")


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    if options.part:
        results.write(options.output, _measured_here(options))
        return
    options.load, options.command = results.load(), results.command()
    if options.suites == ["goals"]:
        goals.main()
        return
    everything = [name for name, suite in SUITES.items() if suite.in_all]
    names = everything if options.suites == ["all"] else options.suites
    records: list[Record] = []
    for name in names:
        own = _measured(name, options)
        results.merge(options.output, own)  # now, so that a crash of a later suite does not lose it
        records += own
    report.show(records)
    print(f"Written to {options.output}.")
    if results.of(records, "refused"):
        sys.exit("Some results were wrong or failed: see above. They were not timed.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = (*SUITES, *AHEAD_OF_TIME, "goals", "all")
    parser.add_argument("suites", nargs="+", choices=names, metavar="SUITE", help=", ".join(names))
    parser.add_argument("--quick", action="store_true", help="few rows")
    parser.add_argument("--only", default="", help="works whose name contains this")
    parser.add_argument("--threads", type=int, nargs="*", help="CPUs to use; by default 1, and all")
    parser.add_argument("--rounds", type=int, help="samples of each contender")
    parser.add_argument("--devices", nargs="*", default=[*aot.GPUS, *aot.TPUS], help="of aot")
    parser.add_argument("--output", type=Path, default=Path("out", "bench.jsonl"))
    parser.add_argument("--part", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--load", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--command", help=argparse.SUPPRESS)
    return parser


def _measured(name: str, options: argparse.Namespace) -> list[Record]:
    """Measures a suite in separate processes and returns its records."""
    if name in AHEAD_OF_TIME:
        kinds = [kind for kind, own in aot.DEVICES.items() if {*own} & {*options.devices}]
        return [record for kind in kinds for record in _in_a_process(name, 0, kind, options)]
    available, suite = len(os.sched_getaffinity(0)), SUITES[name]
    counts = options.threads or ([available, 1] if suite.one_thread else [available])
    records: list[Record] = []
    for count in dict.fromkeys(counts):
        if not records or records[0]["platform"] == "cpu":
            records += _in_a_process(name, count, "cpu", options)
    if suite.ahead_of_time and not options.quick:
        for kind in aot.DEVICES:
            records += results.of(_in_a_process(name, available, kind, options))
    return records


def _in_a_process(name: str, threads: int, kind: str, options: argparse.Namespace) -> list[Record]:
    environment = None
    if kind != "cpu":
        if reason := aot.missing(kind):
            about = {"suite": name, "threads": threads, "library": kind}
            return [{"record": "missing", **about, "reason": reason}]
        environment = aot.environment(kind)
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder, "part.jsonl")
        command = [sys.executable, "-m", "bench", name, "--part", "--output", str(part)]
        command += ["--threads", str(threads), "--only", options.only]
        command += ["--load", str(options.load), "--command", options.command]
        command += ["--quick"] * options.quick + ["--devices", *options.devices]
        command += ["--rounds", str(options.rounds)] if options.rounds else []
        subprocess.run(command, check=True, env=environment, cwd=results.ROOT)
        return results.read(part)


def _measured_here(options: argparse.Namespace) -> list[Record]:
    """Measures one suite with one number of threads in this process and returns its records."""
    (name,), (threads,) = options.suites, options.threads
    if name in AHEAD_OF_TIME:
        from bench.aot import attention
        from bench.aot import report as aot_report

        compiled = attention.records if name == "aot-attention" else aot_report.records
        return list(compiled(options.devices, options.only, options.load, options.command))
    suite = SUITES[name]
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    if suite.devices > 1:
        jax.config.update("jax_num_cpu_devices", suite.devices)
    return report.records(
        name,
        suite.rows(options.quick, options.only),
        options.rounds or (5 if options.quick else suite.rounds),
        results.describe(name, threads, options.load, options.command),
    )


if __name__ == "__main__":
    main()
