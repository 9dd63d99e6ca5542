"""The formula as one C++ kernel, called through XLA's foreign function interface.

The kernel does whole rows: coefficients and thresholds that are one number for each example of a batch. Where
they, or x, are broadcast against the noise in other ways, it draws n, and the formula is left to XLA.
"""

import ctypes
import functools
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flaxnoise.backends import xla
from flaxnoise.stream import variates
from flaxnoise.stream.noise import Kind

LIBRARY = "flaxnoise_cpu.so"
TARGET = "flaxnoise_affine"
ENVIRONMENT = "FLAXNOISE_SIMD"

Operands = Mapping[str, jax.Array]

# The kernel has every other dtype's elements converted to the precision of the coefficients by XLA.
_ELEMENTS = (jnp.float32, jnp.float64, jnp.bfloat16, jnp.float16)


def affine(
    operands: Operands,
    *,
    kind: Kind,
    shape: tuple[int, ...],
    global_shape: tuple[int, ...] | None,
    dtype: jax.typing.DTypeLike,
) -> jax.Array:
    """y = x·(a + b·n) + (c + d·n), n the noise of ``shape``; see affine.primitive for the operands."""
    # Dtypes are explicit, and 64-bit ones must not depend on the mode that lowering runs under.
    with jax.enable_x64(True):
        coefficients = {name: operands[name] for name in "abcd" if name in operands}
        box = {"shape": shape, "global_shape": global_shape or shape}
        if coefficients and _is_by_rows(operands, shape):
            return _fused(operands, coefficients, kind, dtype=jnp.dtype(dtype), **box)
        n = _noise(operands, kind, dtype if not coefficients else jnp.float32, **box)
        if not coefficients:
            return n.astype(dtype)
        return xla.combine(n, operands.get("x"), coefficients, dtype)


def _is_by_rows(operands: Operands, shape: tuple[int, ...]) -> bool:
    """Whether x has n's dimensions and everything else is one number for each example of the batch."""
    x = operands.get("x")
    if x is not None:
        if not jnp.issubdtype(x.dtype, jnp.floating) or _dims(operands, "x") != shape:
            return False
    return all(
        set(_dims(operands, name)) <= {1} for name in ("threshold", *"abcd") if name in operands
    )


def _dims(operands: Operands, name: str) -> tuple[int, ...]:
    return operands[name].shape[operands["key"].ndim - 1 :]


def _fused(
    operands: Operands, coefficients: Operands, kind: Kind, *, dtype: jnp.dtype, **box: Any
) -> jax.Array:
    precision = functools.reduce(jnp.promote_types, [c.dtype for c in coefficients.values()])
    x = operands.get("x")
    if x is not None and "a" not in operands and "b" not in operands:
        x = None
    same = x is None or x.dtype == dtype
    direct = same and dtype in _ELEMENTS and (dtype == jnp.float64) == (precision == jnp.float64)
    element = dtype if direct else precision
    operands = {name: value for name, value in operands.items() if name not in "xabcd"}
    operands |= {name: value.astype(precision) for name, value in coefficients.items()}
    if x is not None:
        operands["x"] = x.astype(element)
    return _call(operands, kind, element, **box).astype(dtype)


def _noise(operands: Operands, kind: Kind, dtype: jax.typing.DTypeLike, **box: Any) -> jax.Array:
    """n: bool for keep, uint32 for bits, else of a floating dtype."""
    operands = {k: v for k, v in operands.items() if k in ("key", "start", "threshold")}
    element = dtype if dtype in _ELEMENTS else jnp.float32
    if kind == "bits":
        return _call(operands, kind, jnp.uint32, **box)
    if kind not in ("keep", "masked_normal"):
        return _call(operands, kind, element, **box)
    if set(_dims(operands, "threshold")) <= {1}:
        return _call(operands, kind, jnp.bool_ if kind == "keep" else element, **box)
    threshold = operands.pop("threshold")
    kept = variates.keep(_call(operands, "keep_words", jnp.uint32, **box), threshold)
    if kind == "keep":
        return kept
    n = _call(operands, "normal", element, **box)
    return jnp.where(kept, jnp.zeros((), n.dtype), n)


def _call(
    operands: Operands,
    kind: str,
    dtype: jax.typing.DTypeLike,
    *,
    shape: tuple[int, ...],
    global_shape: tuple[int, ...],
) -> jax.Array:
    """One call of the kernel, on operands that are one number for each example of the batch, or x."""
    batch_rank = operands["key"].ndim - 1
    ordered = {
        name: value if name in ("key", "start", "x") else value.reshape(value.shape[:batch_rank])
        for name, value in sorted(operands.items(), key=lambda item: _ORDER.index(item[0]))
    }
    batch = np.broadcast_shapes(*(value.shape[:batch_rank] for value in ordered.values()))
    result = jax.ShapeDtypeStruct((*batch, *shape), dtype)
    aliases = {}
    if os.environ.get("ALIAS") and "x" in ordered and ordered["x"].shape == result.shape:
        aliases = {list(ordered).index("x"): 0}
    call = jax.ffi.ffi_call(TARGET, result, input_output_aliases=aliases)
    return call(
        *ordered.values(),
        kind=kind,
        operands="".join(name[0] for name in ordered),
        global_shape=np.asarray(global_shape, np.int64),
    )


_KINDS = ("bits", "keep", "normal", "masked_normal", "uniform", "unit_uniform")
_ORDER = ("key", "start", "threshold", "x", "a", "b", "c", "d")


def refuses(
    *,
    kind: Kind,
    partitioned: bool,
    exported: bool,
    shape: Sequence[Any],
    avals: Mapping[str, Any],
    **_: Any,
) -> str | None:
    """Why the kernel cannot serve a call, or None."""
    if kind not in _KINDS:
        return f"its kernel does not know noise of the kind {kind!r}."
    if exported:
        return "exported programs must not depend on a library of this machine."
    if partitioned:
        return "the compiler would partition the call, and cannot see into the kernel."
    dims = [*shape, *(size for aval in avals.values() for size in aval.shape)]
    if not all(isinstance(size, int) for size in dims):
        return "its dimensions must be known."
    return None


def missing() -> str | None:
    """Why there is no kernel in this installation, or None."""
    return _load()[1]


def simd_targets() -> tuple[str, ...]:
    """The SIMD targets that this processor has, best first.

    Raises:
        RuntimeError: the library is missing.
    """
    return tuple(_library().flaxnoise_targets().decode().split(","))


def simd_target() -> str:
    """The SIMD target in use."""
    return _library().flaxnoise_target().decode()


def use_simd_target(name: str) -> None:
    """Makes the kernel use a SIMD target from now on, in programs compiled before, too.

    Raises:
        ValueError: the processor has no target of that name.
    """
    _use(_library(), name, "use_simd_target")


def _library() -> ctypes.CDLL:
    library, reason = _load()
    if library is None:
        raise RuntimeError(reason)
    return library


@functools.cache
def _load() -> tuple[ctypes.CDLL | None, str | None]:
    """The library, registered with XLA, or the reason why it is not there."""
    # An editable installation has two folders: the sources', and the one with what was built.
    folders = sys.modules[__package__].__path__
    paths = [Path(folder) / LIBRARY for folder in folders]
    path = next((path for path in paths if path.exists()), None)
    if path is None:
        return None, (
            "its library was not built when flaxnoise was installed. With a C++17 compiler for x86-64 "
            "or arm64 at hand, install flaxnoise again."
        )
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        return None, f"its library cannot be loaded: {error}"
    for name in ("flaxnoise_targets", "flaxnoise_target"):
        getattr(library, name).restype = ctypes.c_char_p
    built = (library.flaxnoise_ffi_major(), library.flaxnoise_ffi_minor())
    ours = _interface_version()
    if built[0] != ours[0] or built[1] > ours[1]:
        return None, (
            f"its library was built for version {built[0]}.{built[1]} of XLA's foreign function "
            f"interface, and this jaxlib has {ours[0]}.{ours[1]}. Install flaxnoise again."
        )
    wanted = os.environ.get(ENVIRONMENT)
    if wanted:
        _use(library, wanted, ENVIRONMENT)
    handler = jax.ffi.pycapsule(library.flaxnoise_affine)
    jax.ffi.register_ffi_target(TARGET, handler, platform="cpu")
    return library, None


def _interface_version() -> tuple[int, int]:
    """(major, minor) of the foreign function interface, from the headers that come with jaxlib."""
    header = Path(jax.ffi.include_dir(), "xla", "ffi", "api", "c_api.h").read_text()
    major, minor = (
        re.search(rf"#define XLA_FFI_API_{part} (\d+)", header) for part in ("MAJOR", "MINOR")
    )
    return (int(major[1]), int(minor[1])) if major and minor else (0, 0)


def _use(library: ctypes.CDLL, name: str, owner: str) -> None:
    if not library.flaxnoise_use_target(name.encode()):
        known = ", ".join(map(repr, library.flaxnoise_targets().decode().split(",")))
        raise ValueError(f"{owner}: this processor has {known}, got {name!r}.")
