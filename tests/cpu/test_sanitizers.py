"""No target leaves its buffers, does what C++ leaves undefined, or draws a compiler's warning."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

CPP = Path(__file__).parents[2] / "flaxnoise" / "backends" / "cpp"
DRIVER = Path(__file__).with_name("sanitized.cc")
FLAGS = ["-std=c++17", "-O1", "-g", "-ffp-contract=fast", "-Wall", "-Wextra", "-Werror"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


def simd_flags() -> dict[str, list[str]]:
    """Each target of this machine and the flags it is built with, as CMakeLists.txt has them."""
    machine = os.uname().machine
    names = {"x86_64": ["baseline", "avx2", "avx512"], "aarch64": ["neon"], "arm64": ["neon"]}
    found = dict(re.findall(r"add_simd\((\w+)([^)]*)\)", (CPP / "CMakeLists.txt").read_text()))
    return {name: found[name].split() for name in names[machine]}


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = os.environ.get("CXX") or shutil.which("c++")
    if compiler is None:
        pytest.skip("there is no C++ compiler, c++ or $CXX")
    folder = tmp_path_factory.mktemp("sanitized")
    commands = {
        folder / f"{name}.o": [CPP / "target.cc", f"-DFLAXNOISE_TARGET={name}", *flags]
        for name, flags in simd_flags().items()
    }
    for source in (CPP / "job.cc", CPP / "targets.cc", DRIVER):
        commands[folder / f"{source.stem}.o"] = [source, f"-I{CPP}"]
    quiet = [] if is_clang(compiler) else ["-Wno-maybe-uninitialized", "-Wno-uninitialized"]
    for output, arguments in commands.items():
        build = [compiler, *FLAGS, *quiet, *SANITIZERS, "-c", *arguments, "-o", output]
        subprocess.run(build, check=True)
    program = folder / "driver"
    subprocess.run([compiler, *SANITIZERS, *commands, "-o", program], check=True)
    return program


def is_clang(compiler: str) -> bool:
    shown = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True)
    return "clang" in shown.stdout


def test_every_target_stays_inside_its_buffers(driver: Path):
    ran = subprocess.run([driver], capture_output=True, text=True, timeout=600)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert int(ran.stdout.split()[0]) > 10_000
