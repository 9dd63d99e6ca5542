"""No target exceeds its buffers, has undefined behaviour, or causes a compiler warning."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

CPP = Path(__file__).parents[2] / "flaxnoise" / "backends" / "cpu" / "cpp"
DRIVER = Path(__file__).with_name("sanitized.cc")
FLAGS = ["-std=c++17", "-O1", "-g", "-ffp-contract=fast", "-Wall", "-Wextra", "-Werror"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


def simd_flags() -> dict[str, list[str]]:
    """Returns each target of this machine and its flags from CMakeLists.txt."""
    machine = os.uname().machine
    names = {"x86_64": ["baseline", "avx2", "avx512"], "aarch64": ["neon"], "arm64": ["neon"]}
    found = dict(re.findall(r"add_simd\((\w+)([^)]*)\)", (CPP / "CMakeLists.txt").read_text()))
    return {name: found[name].split() for name in names[machine]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every object file of the driver."""
    folder = tmp_path_factory.mktemp("sanitized")
    for name in simd_flags():
        build_target(folder, name, CPP)
    for source in (CPP / "job.cc", CPP / "targets.cc", DRIVER):
        build(folder / f"{source.stem}.o", source, f"-I{CPP}")
    return folder


def build_target(folder: Path, name: str, sources: Path) -> None:
    define = f"-DFLAXNOISE_TARGET={name}"
    build(folder / f"{name}.o", sources / "target.cc", define, *simd_flags()[name])


def build(output: Path, *arguments: Path | str) -> None:
    quiet = [] if is_clang(compiler()) else ["-Wno-maybe-uninitialized", "-Wno-uninitialized"]
    command = [compiler(), *FLAGS, *quiet, *SANITIZERS, "-c", *arguments, "-o", output]
    subprocess.run(command, check=True)


def drive(folder: Path) -> subprocess.CompletedProcess[str]:
    program = folder / "driver"
    objects = folder.glob("*.o")
    subprocess.run([compiler(), *SANITIZERS, *objects, "-o", program], check=True)
    return subprocess.run([program], capture_output=True, text=True, timeout=600)


def compiler() -> str:
    found = os.environ.get("CXX") or shutil.which("c++")
    if found is None:
        pytest.skip("there is no C++ compiler, c++ or $CXX")
    return found


def is_clang(compiler: str) -> bool:
    shown = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True)
    return "clang" in shown.stdout


def test_every_target_stays_inside_its_buffers(folder: Path):
    ran = drive(folder)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert int(ran.stdout.split()[0]) > 10_000


@pytest.mark.parametrize(
    ("right", "wrong", "found"),
    [
        ("memcpy(y + i * kSize, rest, bytes)", "memcpy(y + i * kSize, rest, sizeof rest)", "WRITE"),
        ("memcpy(rest, x + i * kSize, bytes)", "memcpy(rest, x + i * kSize, sizeof rest)", "READ"),
    ],
    ids=["writes a whole vector at the end", "reads one"],
)
def test_a_target_that_does_not_is_found(folder: Path, tmp_path: Path, right, wrong, found):
    (name, *_) = simd_flags()
    sources = shutil.copytree(CPP, tmp_path / "cpp")
    for path in folder.glob("*.o"):
        shutil.copy(path, tmp_path)
    text = (sources / "formula.h").read_text()
    assert text.count(right) == 1
    (sources / "formula.h").write_text(text.replace(right, wrong))
    build_target(tmp_path, name, sources)
    ran = drive(tmp_path)
    assert ran.returncode != 0
    assert "AddressSanitizer: heap-buffer-overflow" in ran.stderr
    assert f"{found} of size" in ran.stderr
