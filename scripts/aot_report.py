"""Prints what each function compiles to on GPUs and TPUs that are not here, and saves it.

    JAX_PLATFORMS=cpu python scripts/aot_report.py [--devices h100 a100 v5e …] [--output FILE]

For GPUs: machine instructions per element of the largest kernel, kernels, widths of loads and
stores, spills, temporaries, bytes moved (x, the result, temporaries there and back), and the time
per element that these instructions and bytes allow. For TPUs: static bundles (cycles of a core) for
1024 elements, and those in which memory moves x and the result. Compiled ahead of time, not run.
Needs the wheels that scripts/setup_aot.sh installs, those of the devices asked for. The file keeps
its rows for other devices; what is reached of the goals is written beside it.
"""

import argparse
import json
import math
import pathlib

import jax
import jaxlib
from rich.console import Console
from rich.progress import track
from rich.table import Table

from aot import goals, gpu, tpu, tpu_report
from aot.cases import CASES, Case

# Published peaks: memory bandwidth in bytes/s; instructions/s: multiprocessors · 4 schedulers of
# one warp instruction (32 lanes) a cycle · clock in Hz.
MEMORY = {"h100": 3.35e12, "a100": 2.04e12}
ISSUE = {"h100": 132 * 4 * 32 * 1.755e9, "a100": 108 * 4 * 32 * 1.41e9}

HEADINGS = {
    "device": "device",
    "case": "case",
    "shape": "shape",
    "dtype": "dtype",
    "kernels": "kernels",
    "instructions": "instructions\nper element,\nlargest kernel",
    "load": "load\nbytes",
    "store": "store\nbytes",
    "spilled": "spilled\nbytes",
    "temporary": "temporary bytes\nper element",
    "bytes": "bytes\nper element",
    "memory_ps": "memory allows\nps per element",
    "issue_ps": "instructions allow\nps per element",
}
DEVICES = (*gpu.DEVICES, *tpu.DEVICES)


def main() -> None:
    arguments = _arguments()
    rows = [
        tpu_report.row(device, case) if device in tpu.DEVICES else _row(device, case)
        for device in arguments.devices
        for case in track(_cases(device), f"compiling for {device}")
        if not case.only or device in case.only
    ]
    _print([row for row in rows if row["device"] in gpu.DEVICES], HEADINGS)
    _print([row for row in rows if row["device"] in tpu.DEVICES], tpu_report.HEADINGS)
    if arguments.output:
        versions: dict[str, dict[str, str]] = {}
        if arguments.output.exists():
            old = json.loads(arguments.output.read_text())
            versions = old["versions"]
            rows = [row for row in old["rows"] if row["device"] not in arguments.devices] + rows
        own = {"jax": jax.__version__, "jaxlib": jaxlib.__version__}
        versions |= dict.fromkeys(arguments.devices, own)
        report = {"how": "compiled ahead of time, not run", "versions": versions, "rows": rows}
        arguments.output.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
        arguments.output.with_name("aot_goals.md").write_text(goals.table(rows))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", nargs="+", default=gpu.DEVICES, choices=DEVICES)
    parser.add_argument("--output", type=pathlib.Path)
    return parser.parse_args()


def _cases(device: str) -> tuple[Case, ...]:
    return tpu_report.CASES if device in tpu.DEVICES else CASES


def _row(device: str, case: Case) -> dict:
    program = gpu.compile_for(device, case.function, *case.arguments(), devices=case.devices)
    main = program.main
    temporary = program.temporary_bytes / math.prod(case.shape)
    moved = 2 * case.dtype.itemsize + 2 * temporary
    return {
        "device": device,
        "case": case.name,
        "shape": list(case.shape),
        "dtype": case.dtype.name,
        "kernels": len(program.kernels),
        "instructions": round(main.instructions_per_element, 1),
        "load": max(main.loads, default=0),
        "store": max(main.stores, default=0),
        "spilled": sum(kernel.spilled for kernel in program.kernels),
        "temporary": round(temporary, 2),
        "bytes": round(moved, 2),
        "memory_ps": round(moved / MEMORY[device] * 1e12, 2),
        "issue_ps": round(main.instructions_per_element / ISSUE[device] * 1e12, 2),
    }


def _print(rows: list[dict], headings: dict[str, str]) -> None:
    if not rows:
        return
    table = Table(title="Compiled ahead of time, not run")
    for heading in headings.values():
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    Console(width=160).print(table)


def _cell(value: object) -> str:
    return "×".join(map(str, value)) if isinstance(value, list) else str(value)


if __name__ == "__main__":
    main()
