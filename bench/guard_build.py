"""Builds the driver of bench.guard, with the flags that the kernel's CMakeLists.txt has."""

import os
import re
import subprocess
from pathlib import Path

DRIVER = Path(__file__).with_name("guard_driver.cc")
CPP = Path(__file__).resolve().parents[1] / "flaxnoise" / "backends" / "cpp"


def build(compiler: str, folder: Path) -> Path:
    """The driver, built in a folder."""
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
    """Each target of this machine, and its flags."""
    names = {"x86_64": ["baseline", "avx2", "avx512"], "aarch64": ["neon"], "arm64": ["neon"]}
    found = dict(re.findall(r"add_simd\((\w+)([^)]*)\)", text))
    return {name: found[name].split() for name in names[os.uname().machine]}


def options(text: str) -> list[str]:
    """Those that decide which code is made: -O…, -f…."""
    found = re.search(r"target_compile_options\(\s*flaxnoise_options\s+INTERFACE([^$]*)", text)
    if found is None:
        raise ValueError("CMakeLists.txt must have the compile options of flaxnoise_options.")
    return [flag for flag in found[1].split() if re.match(r"-[Of]", flag)]


def version(compiler: str) -> str:
    """A line such as "g++ (Debian 12.2.0-14) 12.2.0"."""
    shown = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True)
    return re.sub(r"^\S*?([^/\s]+) ", r"\1 ", shown.stdout.splitlines()[0])
