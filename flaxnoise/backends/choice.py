"""Which backend serves: forced by the user, or chosen for the platform at lowering."""

import contextlib
import functools
import os
import warnings
from collections.abc import Iterator

import jax

from flaxnoise.backends.contract import Backend, Call, refusal
from flaxnoise.backends.cpu.backend import Cpu
from flaxnoise.backends.mosaic_gpu.backend import MosaicGpu
from flaxnoise.backends.mosaic_tpu.backend import MosaicTpu
from flaxnoise.backends.xla.backend import Xla

ENVIRONMENT = "FLAXNOISE_BACKEND"

# In order of preference on the platforms that they name. Those after xla, which serves everything,
# are only ever forced.
BACKENDS: dict[str, Backend] = {
    "cpu": Cpu(),
    "mosaic_tpu": MosaicTpu(),
    "xla": Xla(),
    "mosaic_gpu": MosaicGpu(),
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

    Whether a device of its platform is there is not asked.

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


def choose(call: Call, forced: str | None) -> Backend:
    """The backend for a call.

    Raises:
        NotImplementedError: the forced backend cannot serve; says why.
    """
    if forced is not None:
        reason = refusal(BACKENDS[forced], call)
        if reason is not None:
            raise NotImplementedError(f"backend {forced!r} cannot serve this call: {reason}")
        return BACKENDS[forced]
    if call.platform == "cpu" and not call.exported:
        _warn_once(BACKENDS["cpu"].missing())
    able = (entry for entry in BACKENDS.values() if refusal(entry, call) is None)
    return next(entry for entry in able if entry.is_faster(call))


@functools.cache
def _warn_once(missing: str | None) -> None:
    if missing is not None:
        warnings.warn(
            f"flaxnoise: the same noise comes from XLA, several times slower: the kernel for CPUs "
            f"cannot be used, as {missing} {ENVIRONMENT}=xla silences this warning.",
            RuntimeWarning,
            stacklevel=2,
        )


def _known(name: str, owner: str) -> str:
    if not isinstance(name, str) or name not in BACKENDS:
        raise ValueError(f"{owner}: must be one of {', '.join(map(repr, BACKENDS))}, got {name!r}.")
    return name
