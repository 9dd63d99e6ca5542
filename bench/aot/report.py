"""The suite aot: what each case compiles to for GPUs and TPUs.

GPUs: machine instructions per element of the largest kernel, kernels, widths of loads and stores in
bytes, bytes spilled, and per element the bytes of temporaries, the bytes moved (x, the result, and
temporaries written and read back), and the picoseconds that instructions and bytes take at peak
rates. TPUs: static bundles (cycles of a core) per 1024 elements, registers spilled, bytes of all
temporaries, and the bundles that fit in the time of moving 1024 elements of x and the result.
"""

import math
from collections.abc import Iterable, Iterator

from bench import results
from bench.aot import DEVICES, gpu, target, tpu
from bench.aot.cases import Case, cases
from bench.measure import Record
from bench.report import progress

# Published peaks of GPUs: memory bandwidth in bytes/s; instructions/s: multiprocessors · 4
# schedulers of one warp instruction (32 lanes) a cycle · clock in Hz.
MEMORY = {"h100": 3.35e12, "a100": 2.04e12}
ISSUE = {"h100": 132 * 4 * 32 * 1.755e9, "a100": 108 * 4 * 32 * 1.41e9}
# Per TPU core: published memory bandwidth in bytes/s, and the clock that follows from the published
# bfloat16 peak (four matrix units per core of 128×128; of 256×256 from v6e on).
TPU_MEMORY = {"v4": 0.615e12, "v5e": 0.82e12, "v5p": 1.38e12, "v6e": 1.64e12, "tpu7x": 3.7e12}
CLOCK = {"v4": 1.05e9, "v5e": 1.5e9, "v5p": 1.75e9, "v6e": 1.75e9, "tpu7x": 2.2e9}


def records(devices: Iterable[str], only: str, load: float, command: str) -> Iterator[Record]:
    """Yields the run and the cases of each device that this process can compile for."""
    kind = target()
    count = _on_gpu if kind == "gpu" else _on_tpu
    for device in (d for d in DEVICES[kind] if d in devices):
        suite = {"suite": f"aot {device}"}
        yield results.describe(suite["suite"], 0, load, command) | {"device": device}
        for case in cases(device):
            if only in case.name:
                progress(f"{device}: {case.name}")
                about = {"case": case.name, "shape": [*case.shape], "dtype": case.dtype.name}
                yield {"record": "compiled", **suite, **about, **count(device, case)}


def _on_gpu(device: str, case: Case) -> Record:
    program = gpu.compile_for(device, case.function, *case.arguments(), devices=case.devices)
    main = program.main
    temporary = program.temporary_bytes / math.prod(case.shape)
    moved = 2 * case.dtype.itemsize + 2 * temporary
    return {
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


def _on_tpu(device: str, case: Case) -> Record:
    program = tpu.compile_for(device, case.function, *case.arguments())
    moved = 2 * case.dtype.itemsize
    return {
        "kernels": len(program.kernels),
        "bundles": round(program.bundles_per_1024(case.dtype.itemsize), 1),
        "spilled": sum(kernel.spilled for kernel in program.kernels),
        "temporary": program.temporary_bytes,
        "bytes": moved,
        "memory_bundles": round(1024 * moved / TPU_MEMORY[device] * CLOCK[device], 1),
    }
