"""Times the kernel of a wheel against one that the compiler of this machine builds on the spot.

    python -m bench.wheel dist/flaxnoise-*-manylinux_2_27_x86_64.whl [--rounds 21]

CPU time of one thread, both libraries in one process and in interleaved rounds, for each SIMD
target of the processor, or for that of FLAXNOISE_SIMD alone. Fails if the wheel's kernel takes
longer than its goal allows.
"""

import argparse
import ctypes
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from bench import guard
from bench.intervals import ratio, spread
from bench.measure import Program, Setting, WrongError, interleaved
from flaxnoise.backends.cpu import library

MEMBER = f"flaxnoise/backends/cpu/{library.LIBRARY}"
SETTING = Setting((128, 1024))  # fits a core's cache
CALLS = 32  # in a program, so that dispatching it does not count
GOALS = {"avx512": 1.15, "avx2": 1.05}  # times the CPU time of GCC's
DTYPES = ("float32", "bfloat16")
# The coefficients of each kind, and the bit mask of its operands; see handler.cc.
WORKS = {"dropout": ("keep", 0b00101101), "gaussian_noise": ("normal", 0b10011001)}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--rounds", type=int, default=21)
    chosen = parser.parse_args(arguments)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # XLA's pool has a thread a core
    compiler = os.environ.get("CXX", "c++")
    with tempfile.TemporaryDirectory() as folder:
        paths = {"wheel": Path(folder) / "wheel.so", "compiler": Path(folder) / "compiler.so"}
        paths["wheel"].write_bytes(zipfile.ZipFile(chosen.wheel).read(MEMBER))
        build(compiler, paths["compiler"])
        libraries = {name: load(name, path) for name, path in paths.items()}
    print(f"{chosen.wheel.name} against {guard.compiler_version(compiler)}, load {os.getloadavg()}")
    slow = 0
    names = libraries["wheel"].flaxnoise_targets().decode().split(",")
    for target in [os.environ[library.ENVIRONMENT]] if library.ENVIRONMENT in os.environ else names:
        for loaded in libraries.values():
            loaded.flaxnoise_use_target(target.encode())
        for work in WORKS:
            for dtype in DTYPES:
                slow += compare(target, work, dtype, chosen.rounds)
    sys.exit(f"bench.wheel: {slow} of them slower than their goals" if slow else 0)


def build(compiler: str, output: Path) -> None:
    """Builds the library with the flags of its CMakeLists.txt."""
    text = (guard.CPP / "CMakeLists.txt").read_text()
    common = [compiler, "-std=c++17", "-w", f"-I{guard.CPP}", f"-I{jax.ffi.include_dir()}"]
    common += guard.options(text)
    objects = []
    for name, flags in guard.simd_flags(text).items():
        objects.append(output.with_name(f"{name}.o"))
        own = [guard.CPP / "target.cc", f"-DFLAXNOISE_TARGET={name}", *flags]
        subprocess.run([*common, "-c", *own, "-o", objects[-1]], check=True)
    sources = [guard.CPP / f"{name}.cc" for name in ("handler", "job", "targets")]
    subprocess.run([*common, "-shared", *sources, *objects, "-o", output], check=True)


def load(name: str, path: Path) -> ctypes.CDLL:
    """Loads a library and registers its handler under a name of its own."""
    loaded = ctypes.CDLL(str(path))
    loaded.flaxnoise_targets.restype = ctypes.c_char_p
    handler = jax.ffi.pycapsule(loaded.flaxnoise_affine)
    jax.ffi.register_ffi_target(f"flaxnoise_{name}", handler, platform="cpu")
    return loaded


def compare(target: str, work: str, dtype: str, rounds: int) -> bool:
    """Prints a row of the table. Returns whether the wheel's kernel is slower than its goal."""
    x = jnp.asarray(SETTING.x(), dtype)
    functions = [jax.jit(repeated(name, work)) for name in ("wheel", "compiler")]
    results = [np.asarray(function(x), np.float32) for function in functions]
    # Normals of two compilers differ by ulps; bfloat16 has 8 bits.
    tolerance = 0 if work == "dropout" else CALLS * (2.0**-8 if dtype == "bfloat16" else 2.0**-20)
    if not np.allclose(*results, rtol=tolerance, atol=tolerance):
        raise WrongError(f"{work} {dtype} differs between the two libraries")
    programs = [Program(lambda function=f: function(x), lambda: None) for f in functions]
    ours, theirs = (cpu for _, cpu in interleaved(programs, rounds))
    found, goal = ratio(ours, theirs, paired=True), GOALS.get(target)
    nanoseconds = [spread(s).median / CALLS / SETTING.elements * 1e9 for s in (ours, theirs)]
    print(
        f"{target:9}{work:15}{dtype:9}",
        "{:6.3f} ns, {:6.3f} ns an element:".format(*nanoseconds),
        f"{found.median:5.2f} × ({found.low:.2f} to {found.high:.2f})",
        f"goal {goal}" if goal else "",
        flush=True,
    )
    return goal is not None and found.median > goal


def repeated(name: str, work: str):
    """Returns a function of x that calls a library's handler CALLS times, one after the other."""
    kind, present = WORKS[work]

    def run(x: jax.Array) -> jax.Array:
        key, one = jnp.uint32([1, 2, 3, 4]), jnp.float32(1)
        threshold = jnp.uint32(6554 << 15)  # of rate 0.1
        given = {
            "keep": lambda x: (key, threshold, x, jnp.float32(1 / 0.9)),
            "normal": lambda x: (key, x, one, jnp.float32(0.3)),
        }[kind]
        shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
        call = jax.ffi.ffi_call(f"flaxnoise_{name}", shape)
        sizes = np.asarray(x.shape, np.int64)
        for _ in range(CALLS):
            x = call(*given(x), kind=kind, operands=np.int64(present), global_shape=sizes)
        return x

    return run


if __name__ == "__main__":
    main()
