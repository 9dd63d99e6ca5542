"""The kernel compiled for arm64, run by an emulator, computes what every x86-64 target computes.

Built without fused multiply-adds all targets do the same operations, so that all bytes must agree,
those of normals included. Built with the kernel's own flags the compiler chooses what it fuses.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from bench import guard
from flaxnoise.backends.cpu import library

CPP = guard.CPP
DRIVER = Path(__file__).with_name("compared.cc")
CROSS, EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64-static"
QUIET = ["-Wno-maybe-uninitialized", "-Wno-uninitialized"]
UNFUSED = "-ffp-contract=off"


@pytest.fixture(scope="module", autouse=True)
def _tools() -> None:
    if os.uname().machine != "x86_64":
        pytest.skip("arm64 is compared with x86-64, and this machine is not one")
    packages = {CROSS: "g++-aarch64-linux-gnu", EMULATOR: "qemu-user-static"}
    missing = [package for tool, package in packages.items() if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"not installed: Debian's {' and '.join(missing)}")


@pytest.fixture(scope="module")
def x86(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The driver for this machine."""
    compiler = os.environ.get("CXX") or shutil.which("c++")
    if compiler is None:
        pytest.skip("there is no C++ compiler, c++ or $CXX")
    text = (CPP / "CMakeLists.txt").read_text()
    return build(tmp_path_factory.mktemp("x86"), compiler, guard.simd_flags(text), [UNFUSED])


@pytest.fixture(scope="module")
def expected(x86: list[str]) -> str:
    return drive([*x86, "baseline", "all"]).decode()


def build_arm64(folder: Path, flags: Sequence[str], sources: Path = CPP) -> list[str]:
    program = build(folder, CROSS, {"neon": []}, ["-static", "-Werror", *flags], sources)
    return [EMULATOR, "-cpu", "cortex-a72", *program, "neon"]


def build(
    folder: Path,
    compiler: str,
    targets: dict[str, list[str]],
    flags: Sequence[str],
    sources: Path = CPP,
) -> list[str]:
    """Builds the driver and returns its command."""
    text = (CPP / "CMakeLists.txt").read_text()
    common = ["-std=c++17", *guard.options(text), "-Wall", "-Wextra", *QUIET, *flags]
    program = folder / "compared"
    commands = [
        [
            *own,
            f"-DFLAXNOISE_TARGET={name}",
            "-c",
            sources / "target.cc",
            "-o",
            folder / f"{name}.o",
        ]
        for name, own in targets.items()
    ]
    commands.append([sources / "job.cc", sources / "targets.cc", DRIVER, "-o", program])
    commands[-1] += [folder / f"{name}.o" for name in targets]
    for command in commands:
        subprocess.run([compiler, *common, f"-I{sources}", *command], check=True)
    return [str(program)]


def drive(command: list[str]) -> bytes:
    return subprocess.run(command, check=True, capture_output=True, timeout=600).stdout


def different(found: str, expected: str) -> list[str]:
    """The groups of calls whose hashes differ."""
    ours, theirs = (dict(re.findall("^(.*),(.*)$", text, re.M)) for text in (found, expected))
    assert set(ours) <= set(theirs)
    assert len(ours) > 200
    return [name for name, value in ours.items() if value != theirs[name]]


@pytest.mark.parametrize("name", library.simd_targets() if library.missing() is None else ())
def test_every_target_of_this_machine_agrees(name: str, x86: list[str], expected: str):
    assert different(drive([*x86, name, "all"]).decode(), expected) == []


def test_arm64_agrees_bit_for_bit(expected: str, tmp_path: Path):
    ran = drive([*build_arm64(tmp_path, [UNFUSED]), "all"])
    assert different(ran.decode(), expected) == []
    assert ran.count(b"\n") == expected.count("\n") > 2000


def test_with_the_flags_of_the_kernel(x86: list[str], expected: str, tmp_path: Path):
    arm64 = build_arm64(tmp_path, [])
    assert different(drive([*arm64, "exact"]).decode(), expected) == []
    values = [drive([*command, "values"]) for command in (arm64, [*x86, "baseline"])]
    ours, theirs = (np.frombuffer(value, np.float32).reshape(-1, 1 << 15) for value in values)
    noise, sums = slice(4), slice(4, None)
    assert ours.shape == (4 + 4 * 3, 1 << 15)
    # A normal has some 8 operations that may be fused or not, each half an ulp.
    np.testing.assert_array_max_ulp(ours[noise], theirs[noise], maxulp=8)
    # Its 8 ulp are 2^-18, as |n| < 8. They are multiplied by |b·x| + |d| ≤ 3, and four roundings of
    # sums below 16 follow, of 2^-20 each.
    np.testing.assert_allclose(ours[sums], theirs[sums], rtol=0, atol=2.0**-16)


@pytest.mark.parametrize(
    ("file", "right", "wrong", "found"),
    [
        ("vector.h", "vtrn1q_u32", "vtrn2q_u32", "bits u32 ---- setting 0"),
        ("element.h", "(bits >> 16 & 1u) + 0x7FFFu", "0x8000u", "keep bf16 a--- setting 0"),
    ],
)
def test_a_defect_is_found(
    expected: str, tmp_path: Path, file: str, right: str, wrong: str, found: str
):
    sources = shutil.copytree(CPP, tmp_path / "cpp")
    text = (sources / file).read_text()
    assert text.count(right) == 1
    (sources / file).write_text(text.replace(right, wrong))
    ran = drive([*build_arm64(tmp_path, [UNFUSED], sources), "all"])
    assert found in different(ran.decode(), expected)
