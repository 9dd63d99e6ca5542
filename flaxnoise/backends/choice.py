"""Which backend serves: forced by the user, or chosen for the platform at lowering."""

import contextlib
import functools
import os
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax

from flaxnoise.backends import cpu, mosaic_gpu, mosaic_tpu, xla

Form = Callable[..., jax.Array]

ENVIRONMENT = "FLAXNOISE_BACKEND"


class Backend(NamedTuple):
    """A way to compute the formula.

    Attributes:
        platforms: jax's names of the platforms it can serve; empty for all.
        form: (operands, kind, shape, global_shape, dtype) -> array.
        missing: why it is not there in this installation, or None.
        refuses: why it cannot serve a call, or None; from the static parameters, the operands'
            names and avals, whether the compiler will partition the call, whether it is exported,
            and the devices, where jax tells them.
        is_faster: whether it is chosen unasked, from the same.
        needs_devices: whether it depends on the devices if it refuses; only ever forced, then.
    """

    platforms: tuple[str, ...]
    form: Form
    missing: Callable[[], str | None]
    refuses: Callable[..., str | None]
    is_faster: Callable[..., bool] = lambda **_: True
    needs_devices: bool = False


# In order of preference on the platforms that they name; what comes after xla, which serves
# everything, is only ever forced.
BACKENDS = {
    "cpu": Backend(("cpu",), cpu.affine, missing=cpu.missing, refuses=cpu.refuses),
    "mosaic_tpu": Backend(
        ("tpu",),
        mosaic_tpu.affine,
        missing=lambda: None,
        refuses=mosaic_tpu.refuses,
        is_faster=mosaic_tpu.is_faster,
    ),
    "xla": Backend((), xla.affine, missing=lambda: None, refuses=lambda **_: None),
    "mosaic_gpu": Backend(
        ("cuda",),
        mosaic_gpu.affine,
        missing=mosaic_gpu.missing,
        refuses=mosaic_gpu.refuses,
        needs_devices=True,
    ),
}

_forced = jax.make_user_context(default_value=None)
_environment = os.environ.get(ENVIRONMENT)  # once: what jax has traced would not see a change


@contextlib.contextmanager
def backend(name: str) -> Iterator[None]:
    """Forces one backend for what is traced inside: ``with flaxnoise.backend("xla"):``.

    Part of jax's cache keys: a function jitted before is traced again. The environment variable
    FLAXNOISE_BACKEND does the same for a whole process; it is read when flaxnoise is imported.

    Args:
        name: one of ``flaxnoise.backends()``.

    Raises:
        ValueError: there is no backend of that name. A backend that exists and cannot serve a call
            raises NotImplementedError with the reason when the call is lowered.

    Example:
        >>> with flaxnoise.backend("xla"):
        ...     y = flaxnoise.dropout(key, x, 0.5)
    """
    with _forced(_known(name, "backend")):
        yield


def backends() -> dict[str, str]:
    """Each backend's name, and "available" or the reason why it is not installed.

    It serves where a device of its platform is; whether one is there is not asked.

    Example:
        >>> flaxnoise.backends()["xla"]
        'available'
    """
    return {name: entry.missing() or "available" for name, entry in BACKENDS.items()}


def forced_backend() -> str | None:
    """The backend that the context or the environment asks for."""
    name = _forced.value
    if name is not None:
        return name
    return _known(_environment, ENVIRONMENT) if _environment else None


def needs_devices(name: str | None) -> bool:
    """Whether a forced backend has to know the devices that a program is for."""
    return name is not None and BACKENDS[name].needs_devices


def form(platform: str, forced: str | None, **params: Any) -> Form:
    """The function to trace for a call with these static parameters on a platform.

    Raises:
        NotImplementedError: the forced backend cannot serve; says why.
    """
    if forced is not None:
        reason = _why_not(BACKENDS[forced], platform, params)
        if reason is not None:
            raise NotImplementedError(f"backend {forced!r} cannot serve this call: {reason}")
        return BACKENDS[forced].form
    if platform == "cpu" and not params["exported"]:
        _warn_once(BACKENDS["cpu"].missing())
    able = (b for b in BACKENDS.values() if _why_not(b, platform, params) is None)
    return next(b.form for b in able if b.is_faster(**params))


@functools.cache
def _warn_once(missing: str | None) -> None:
    if missing is not None:
        warnings.warn(
            f"flaxnoise: the same noise comes from XLA, several times slower: the kernel for CPUs "
            f"cannot be used, as {missing} {ENVIRONMENT}=xla silences this warning.",
            RuntimeWarning,
            stacklevel=2,
        )


def _why_not(entry: Backend, platform: str, params: dict[str, Any]) -> str | None:
    if entry.platforms and platform not in entry.platforms:
        return f"it serves {', '.join(entry.platforms)}, not {platform}."
    return entry.missing() or entry.refuses(**params)


def _known(name: str, owner: str) -> str:
    if not isinstance(name, str) or name not in BACKENDS:
        raise ValueError(f"{owner}: must be one of {', '.join(map(repr, BACKENDS))}, got {name!r}.")
    return name
