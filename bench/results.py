"""Reads and writes results files, and decides which of their numbers may be printed.

A file has one JSON object per line. A ``run`` record has the hardware, versions and command of a
suite; a ``time`` record all samples, in seconds per call; a ``missing``, ``absent`` or ``refused``
record the reason.
"""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax

import flaxnoise
from bench.intervals import Spread, ratio, spread
from bench.measure import Record

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "bench" / "results"
PACKAGES = (
    "jax",
    "jaxlib",
    "flax",
    "numpy",
    "keras",
    "equinox",
    "dm-haiku",
    "torch",
    "transformers",
    "libtpu",
)
IDENTITY = ("suite", "threads", "work", "library", "variant", "shape", "dtype", "direction", "mode")
QUIET = 0.3  # load average of a machine on which nothing else runs


def write(path: Path, records: Iterable[Record]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(_rounded(record), ensure_ascii=False) + "\n" for record in records]
    path.write_text("".join(lines))


def read(path: Path) -> list[Record]:
    """Reads the records of a file; raises ValueError if it is not a results file."""
    records = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}:{number}: is not JSON: {error}") from None
        if not isinstance(record, dict) or "record" not in record:
            raise ValueError(f"{path}:{number}: must be an object with a 'record', got {line!r}")
        records.append(record)
    return records


def merge(path: Path, records: Sequence[Record]) -> list[Record]:
    """Writes records into a file, replacing its records of the same suites."""
    suites = {record["suite"] for record in records}
    old = read(path) if path.exists() else []
    merged = [record for record in old if record["suite"] not in suites] + [*records]
    write(path, merged)
    return merged


def of(records: Iterable[Record], kind: str = "time", **wanted: Any) -> list[Record]:
    """Returns the records of a kind whose fields equal the wanted values (or one of a tuple)."""
    return [
        record
        for record in records
        if record["record"] == kind
        and all(
            record.get(name) in value if isinstance(value, tuple) else record.get(name) == value
            for name, value in wanted.items()
        )
    ]


def identity(record: Record) -> str:
    """Identifies what was timed: equal for comparable records of two runs."""
    return json.dumps([record.get(name) for name in IDENTITY])


def same_row(a: Record, b: Record) -> bool:
    """Whether both were sampled in the same rounds."""
    return all(a[name] == b[name] for name in ("suite", "threads", "row"))


def name(record: Record) -> str:
    """Returns library and variant: "flax.linen (rbg)"."""
    return record["library"] + (f" ({record['variant']})" if record["variant"] else "")


def setting(record: Record) -> str:
    """Returns the setting in words: "1024×1024 float32 forward jit"."""
    shape = "×".join(map(str, record["shape"]))
    return f"{shape} {record['dtype']} {record['direction']} {record['mode']}"


def elements(record: Record) -> int:
    count = 1
    for size in record["shape"]:
        count *= size
    return count


def relative(record: Record, base: Record, clock: str) -> Spread:
    """Returns the time of a record relative to that of another of the same run."""
    return ratio(record[clock], base[clock], paired=same_row(record, base))


def unpaired(record: Record, base: Record, clock: str) -> Spread:
    """Returns the time of a record relative to that of a record of another run."""
    return ratio(record[clock], base[clock], paired=False)


def doubts(run: Record) -> list[str]:
    """Returns the reasons why numbers of a run may not be printed in README."""
    found = []
    if not run["commit"] or run["commit"].endswith("+"):
        found.append(f"files were changed since commit {run['commit'].rstrip('+')}")
    if run["load"] >= QUIET:
        found.append(f"the load average was {run['load']} at the start")
    return found


def printable(record: Record, records: Sequence[Record]) -> bool:
    """Whether the times of a record may be printed in README."""
    (run,) = of(records, "run", suite=record["suite"], threads=record["threads"])
    return not doubts(run) and spread(record["wall"]).is_narrow


def describe(suite: str, threads: int, load: float, command: str) -> Record:
    """Returns the record of a run; called in the process that times."""
    device = jax.devices()[0]
    return {
        "record": "run",
        "suite": suite,
        "threads": threads,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "commit": commit(),
        "load": load,  # at the start of the command, before it caused load itself
        "platform": device.platform,
        "device": processor() if device.platform == "cpu" else device.device_kind,
        "simd": simd(),
        "backends": flaxnoise.backends(),
        "python": platform.python_version(),
        "versions": {name: text for name in PACKAGES if (text := installed(name))},
    }


def load() -> float:
    """The load average of the last minute."""
    return round(os.getloadavg()[0], 2)


def command() -> str:
    """Returns the command line that repeats this process."""
    module = "python -m bench" if sys.argv[0].endswith("__main__.py") else f"python {sys.argv[0]}"
    return " ".join([module, *sys.argv[1:]])


def simd() -> str | None:
    """The instruction set of the C++ kernel."""
    from flaxnoise.backends.cpu import library

    return library.simd_target() if flaxnoise.backends()["cpu"] == "available" else None


def installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def commit() -> str:
    """Returns the commit, with a "+" if the code differs from it; "" outside of git."""
    code = ("--", ".", ":!bench/results", ":!README.md")
    try:
        changed = git("status", "--porcelain", "--untracked-files=no", *code)
        return git("rev-parse", "--short=12", "HEAD") + "+" * bool(changed)
    except (OSError, subprocess.CalledProcessError):
        return ""


def git(*arguments: str) -> str:
    ran = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return ran.stdout.strip()


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _rounded(value: Any) -> Any:
    """Rounds floats to four digits, since more would be noise."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: _rounded(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(entry) for entry in value]
    return value
