"""Counts the instructions that the C++ kernel executes, and compares them with stored counts.

    python -m bench.guard            fails if a count is more than 2 % above the stored one
    python -m bench.guard --store    stores the counts of this compiler

Unlike times, counts do not depend on the load of the machine. valgrind's callgrind counts them in a
small driver, built with the kernel's own flags. It does not support AVX-512, so only the other
targets are counted. Counts are stored per compiler version; a version without stored counts fails.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DRIVER = Path(__file__).with_name("guard_driver.cc")
CPP = ROOT / "flaxnoise" / "backends" / "cpu" / "cpp"
STORED = ROOT / "bench" / "results" / "instructions.json"
ELEMENTS = 1 << 18
TOLERANCE = 0.02
WORKS = tuple(
    f"{kind}:{dtype}"
    for kind in (
        "dropout",
        "gaussian_noise",
        "masked_gaussian_noise",
        "uniform_noise",
        "laplace_noise",
    )
    for dtype in ("float32", "bfloat16")
)
TARGETS = {"x86_64": ("avx2", "baseline"), "aarch64": ("neon",), "arm64": ("neon",)}

Counts = dict[str, float]  # "avx2:dropout:float32" → instructions an element


class MissingError(RuntimeError):
    """A tool that counting needs is not installed."""


def count() -> tuple[str, Counts]:
    """Returns the compiler's version and the instructions per element of all works.

    Raises:
        MissingError: valgrind or a C++ compiler is not installed.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise MissingError("valgrind is not installed: apt-get install valgrind, for one.")
    compiler = os.environ.get("CXX") or shutil.which("c++")
    if compiler is None:
        raise MissingError("there is no C++ compiler, c++ or $CXX.")
    counts: Counts = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        driver = build(compiler, folder)
        for target in TARGETS[os.uname().machine]:
            works = [f"{work}:{ELEMENTS}" for work in WORKS]
            totals = run(valgrind, driver, target, works, folder)
            for work, total in zip(WORKS, totals, strict=True):
                counts[f"{target}:{work}"] = round(total / ELEMENTS, 3)
    return compiler_version(compiler), counts


def build(compiler: str, folder: Path) -> Path:
    """Builds the driver in a folder and returns its path."""
    text = (CPP / "CMakeLists.txt").read_text()
    common = ["-std=c++17", "-w", f"-I{CPP}", *options(text)]
    commands = {
        folder / f"{name}.o": [str(CPP / "target.cc"), f"-DFLAXNOISE_TARGET={name}", *flags]
        for name, flags in simd_flags(text).items()
    }
    for source in (CPP / "job.cc", CPP / "targets.cc", DRIVER):
        commands[folder / f"{source.stem}.o"] = [str(source)]
    for output, arguments in commands.items():
        subprocess.run([compiler, *common, "-c", *arguments, "-o", str(output)], check=True)
    program = folder / "driver"
    subprocess.run([compiler, *map(str, commands), "-o", str(program)], check=True)
    return program


def simd_flags(text: str) -> dict[str, list[str]]:
    """Target → its compiler flags, for the targets of this machine."""
    names = {"x86_64": ["baseline", "avx2", "avx512"], "aarch64": ["neon"], "arm64": ["neon"]}
    found = dict(re.findall(r"add_simd\((\w+)([^)]*)\)", text))
    return {name: found[name].split() for name in names[os.uname().machine]}


def options(text: str) -> list[str]:
    """The compile options that affect code generation, -O… and -f…."""
    found = re.search(r"target_compile_options\(\s*flaxnoise_options\s+INTERFACE([^$]*)", text)
    if found is None:
        raise ValueError("CMakeLists.txt must have the compile options of flaxnoise_options.")
    return [flag for flag in found[1].split() if re.match(r"-[Of]", flag)]


def compiler_version(compiler: str) -> str:
    """Returns a line such as "g++ (Debian 12.2.0-14) 12.2.0"."""
    shown = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True)
    return re.sub(r"^\S*?([^/\s]+) ", r"\1 ", shown.stdout.splitlines()[0])


def run(valgrind: str, driver: Path, target: str, works: Sequence[str], folder: Path) -> list[int]:
    """Returns the instructions of each work; callgrind dumps its counts after each."""
    output = folder / f"{target}.out"
    command = [valgrind, "--tool=callgrind", "-q", f"--callgrind-out-file={output}"]
    command += ["--zero-before=measured", "--dump-after=measured", str(driver), target, *works]
    subprocess.run(command, check=True, env={**os.environ, "LD_BIND_NOW": "1"})
    return [total(Path(f"{output}.{i}").read_text()) for i in range(1, len(works) + 1)]


def total(dump: str) -> int:
    """Returns the total number of instructions in the text of a callgrind file.

    Raises:
        ValueError: the text is not that of a callgrind file, or counts other events.
    """
    lines = dict(line.split(":", 1) for line in dump.splitlines() if ":" in line)
    if lines.get("events", "").split() != ["Ir"]:
        raise ValueError(f"callgrind must count instructions, Ir, got {lines.get('events')!r}.")
    found = lines.get("totals") or lines.get("summary")
    if found is None:
        raise ValueError("there are neither totals nor a summary in callgrind's file.")
    return int(found)


def regressions(now: Mapping[str, float], stored: Mapping[str, float]) -> list[str]:
    """Returns a line for each count that exceeds the stored one or has none."""
    found = []
    for name, value in now.items():
        if name not in stored:
            found.append(f"{name}: {value:.2f} instructions an element, and none stored")
        elif value > stored[name] * (1 + TOLERANCE):
            found.append(f"{name}: {value:.2f} instructions an element, {stored[name]:.2f} stored")
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--store", action="store_true", help="keep these counts")
    parser.add_argument("--stored", type=Path, default=STORED, help="the file that holds them")
    chosen = parser.parse_args(arguments)
    try:
        compiler, now = count()
    except MissingError as missing:
        sys.exit(f"bench.guard: nothing was counted: {missing}")
    everything = json.loads(chosen.stored.read_text()) if chosen.stored.exists() else {}
    stored = everything.get(compiler, {})
    print(f"instructions an element, {compiler}, {ELEMENTS} elements")
    for name, value in now.items():
        before = f"{stored[name]:8.2f} stored" if name in stored else ""
        print(f"{name:40}{value:8.2f}{before}")
    if chosen.store:
        everything[compiler] = now
        chosen.stored.write_text(json.dumps(everything, indent=1, sort_keys=True) + "\n")
        return
    if not stored:
        known = ", ".join(everything) or "none"
        sys.exit(f"bench.guard: no counts are stored for {compiler}, but for: {known}.")
    worse = regressions(now, stored)
    if worse:
        sys.exit("\n".join(["bench.guard: more instructions than before:", *worse]))


if __name__ == "__main__":
    main()
