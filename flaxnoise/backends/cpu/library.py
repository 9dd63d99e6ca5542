"""Finds and checks the compiled library of the cpu backend, and registers it with XLA once."""

import ctypes
import functools
import os
import re
import sys
from pathlib import Path

import jax

LIBRARY = "flaxnoise_cpu.so"
REASON = "flaxnoise_cpu.txt"  # installed instead of the library if it was not built
AGAIN = (
    "With a C++17 compiler for x86-64 or arm64, "
    "FLAXNOISE_KERNEL=1 pip install --no-cache-dir --force-reinstall --no-deps flaxnoise "
    "installs it, or fails and shows why."
)
TARGET = "flaxnoise_affine"
ENVIRONMENT = "FLAXNOISE_SIMD"


def missing() -> str | None:
    """Why the kernel is missing from this installation, or None."""
    return _load()[1]


@functools.cache
def kinds() -> dict[str, int]:
    """The kinds of noise that the kernel supports, with their domains.

    Raises:
        RuntimeError: the library is missing.
    """
    rows = (row.split(" ") for row in _library().flaxnoise_kinds().decode().split(","))
    return {name: int(domain) for name, domain in rows}


def simd_targets() -> tuple[str, ...]:
    """The SIMD targets that this processor supports, best first.

    Raises:
        RuntimeError: the library is missing.
    """
    return tuple(_library().flaxnoise_targets().decode().split(","))


def simd_target() -> str:
    """The SIMD target in use."""
    return _library().flaxnoise_target().decode()


def use_simd_target(name: str) -> None:
    """Switches the kernel to a SIMD target, also in programs that are already compiled.

    Raises:
        ValueError: the processor does not support a target of that name.
    """
    _use(_library(), name, "use_simd_target")


def _library() -> ctypes.CDLL:
    library, reason = _load()
    if library is None:
        raise RuntimeError(reason)
    return library


@functools.cache
def _load() -> tuple[ctypes.CDLL | None, str | None]:
    """The library, registered with XLA, or the reason why it cannot be used."""
    path = _installed(LIBRARY)
    if path is None:
        return None, _not_built()
    try:
        library = ctypes.CDLL(str(path))
        for name in ("flaxnoise_kinds", "flaxnoise_targets", "flaxnoise_target"):
            getattr(library, name).restype = ctypes.c_char_p
        built = (library.flaxnoise_ffi_major(), library.flaxnoise_ffi_minor())
        handler, _ = library.flaxnoise_affine, library.flaxnoise_use_target
    except OSError as error:
        return None, f"its library cannot be loaded: {error}. {AGAIN}"
    except AttributeError as error:
        return None, f"its library is that of another version of flaxnoise: {error}. {AGAIN}"
    try:
        ours = _interface_version()
    except (OSError, RuntimeError) as error:
        return None, (
            "this jaxlib has no C headers, which tell whether the library fits it: "
            f"{error}. Install jaxlib again."
        )
    if built[0] != ours[0] or built[1] > ours[1]:
        return None, (
            f"its library was built for version {built[0]}.{built[1]} of XLA's foreign function "
            f"interface, and this jaxlib has {ours[0]}.{ours[1]}. {AGAIN}"
        )
    wanted = os.environ.get(ENVIRONMENT)
    if wanted:
        _use(library, wanted, ENVIRONMENT)
    try:
        jax.ffi.register_ffi_target(TARGET, jax.ffi.pycapsule(handler), platform="cpu")
    except (RuntimeError, ValueError) as error:  # from XLA's own checks
        return None, f"XLA refuses its library: {error}. {AGAIN}"
    return library, None


def _installed(name: str) -> Path | None:
    # An editable installation has two folders: the sources and the build outputs.
    paths = [Path(folder) / name for folder in sys.modules["flaxnoise.backends.cpu"].__path__]
    return next((path for path in paths if path.exists()), None)


def _not_built() -> str:
    """That the library was not built, with the reason that the build recorded, if any."""
    note = _installed(REASON)
    reason = f": {note.read_text().strip()}" if note else ""
    return f"its library was not built when flaxnoise was installed{reason}. {AGAIN}"


def _interface_version() -> tuple[int, int]:
    """(major, minor) of the foreign function interface, read from jaxlib's headers.

    Raises:
        OSError: jaxlib has no headers.
    """
    header = Path(jax.ffi.include_dir(), "xla", "ffi", "api", "c_api.h").read_text()
    major, minor = (
        re.search(rf"#define XLA_FFI_API_{part} (\d+)", header) for part in ("MAJOR", "MINOR")
    )
    return (int(major[1]), int(minor[1])) if major and minor else (0, 0)


def _use(library: ctypes.CDLL, name: str, owner: str) -> None:
    if not library.flaxnoise_use_target(name.encode()):
        known = ", ".join(map(repr, library.flaxnoise_targets().decode().split(",")))
        raise ValueError(f"{owner}: this processor has {known}, got {name!r}.")
