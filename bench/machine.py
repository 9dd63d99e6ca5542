"""What a measurement was made on and with."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax

import flaxnoise
from flaxnoise.backends import cpu_library

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("jax", "jaxlib", "flax", "numpy", "keras", "equinox", "dm-haiku", "torch")


def describe(threads: int, settings: dict[str, Any]) -> dict[str, Any]:
    """The record that stands in front of the times of a run."""
    device = jax.devices()[0]
    compiled = flaxnoise.backends()["cpu"] == "available"
    return {
        "record": "run",
        "threads": threads,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "platform": device.platform,
        "device": processor() if device.platform == "cpu" else device.device_kind,
        "cores": len(os.sched_getaffinity(0)),
        "simd": cpu_library.simd_target() if compiled else None,
        "backends": flaxnoise.backends(),
        "python": platform.python_version(),
        "versions": {name: text for name in PACKAGES if (text := installed(name))},
        "settings": settings,
        "load": round(os.getloadavg()[0], 2),  # of the minute before, this run's own work included
    }


def installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def commit() -> str:
    """The commit that is checked out, and whether files that git knows were changed since."""
    try:
        return git("rev-parse", "--short=12", "HEAD") + ("+" * bool(git("diff", "HEAD", "--stat")))
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def git(*arguments: str) -> str:
    command = ["git", *arguments]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return ran.stdout.strip()


def processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            names = [entry.split(":")[1].strip() for entry in lines if "model name" in entry]
        return names[0]
    except (OSError, IndexError):
        return platform.processor() or platform.machine()
