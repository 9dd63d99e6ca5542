"""Backend dispatch: a backend is forced by the user, or chosen for the platform at lowering."""

import contextlib
import functools
import os
import warnings
from collections.abc import Iterator

import jax

from flaxnoise.backends.attention import AttentionCall, Kernel
from flaxnoise.backends.contract import Backend, Call, refusal
from flaxnoise.backends.cpu.backend import Cpu
from flaxnoise.backends.mosaic_gpu.backend import MosaicGpu
from flaxnoise.backends.mosaic_tpu.backend import MosaicTpu
from flaxnoise.backends.xla.backend import Xla
from flaxnoise.stream.sizes import are_known

ENVIRONMENT = "FLAXNOISE_BACKEND"

# In order of preference. xla accepts every call, so backends after it are used only if forced.
BACKENDS: dict[str, Backend] = {
    "cpu": Cpu(),
    "mosaic_tpu": MosaicTpu(),
    "xla": Xla(),
    "mosaic_gpu": MosaicGpu(),
}

_forced = jax.make_user_context(default_value=None)
_environment = os.environ.get(ENVIRONMENT)  # read once: a change would not retrace functions


@contextlib.contextmanager
def backend(name: str) -> Iterator[None]:
    """Forces a backend for what is traced inside: ``with flaxnoise.backend("xla"):``.

    The backend is part of jax's cache keys, so functions that are already jitted are traced again.
    The environment variable FLAXNOISE_BACKEND forces a backend for the whole process; it is read
    when flaxnoise is imported.

    Args:
        name: one of ``flaxnoise.backends()``.

    Raises:
        ValueError: there is no backend of that name.
        NotImplementedError: raised when a call is lowered that the backend does not support; with
            the reason.

    Example:
        >>> with flaxnoise.backend("xla"):
        ...     y = flaxnoise.dropout(key, x, 0.5)
    """
    with _forced(_known(name, "backend")):
        yield


def backends() -> dict[str, str]:
    """The name of each backend, with "available" or the reason why it is not installed.

    It is not checked whether the process has a device of the backend's platform.

    Example:
        >>> flaxnoise.backends()["xla"]
        'available'
    """
    return {name: entry.missing() or "available" for name, entry in BACKENDS.items()}


def forced_backend() -> str | None:
    """The backend that the context manager or the environment variable forces, or None."""
    name = _forced.value
    if name is not None:
        return name
    return _known(_environment, ENVIRONMENT) if _environment else None


def needs_devices(name: str | None) -> bool:
    """Whether a forced backend needs the devices that a program is compiled for."""
    return name is not None and BACKENDS[name].needs_devices


def choose(call: Call, forced: str | None) -> Backend:
    """Chooses the backend for a call.

    Raises:
        NotImplementedError: the forced backend does not support the call; with the reason.
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


def has_attention(name: str | None) -> bool:
    """Whether a forced backend has a kernel for attention."""
    return name is not None and BACKENDS[name].attention() is not None


def attention_kernel(call: AttentionCall, forced: str) -> Kernel:
    """The attention kernel of a forced backend.

    Raises:
        NotImplementedError: the kernel does not support the call; with the reason.
    """
    entry = BACKENDS[forced]
    kernel = entry.attention()
    reason = _attention_refusal(entry, kernel, call)
    if reason is not None:
        raise NotImplementedError(f"backend {forced!r} cannot serve this attention: {reason}")
    return kernel


def _attention_refusal(entry: Backend, kernel: Kernel, call: AttentionCall) -> str | None:
    if entry.platforms and call.platform not in entry.platforms:
        return f"it serves {', '.join(entry.platforms)}, not {call.platform}."
    if (reason := entry.missing()) is not None:
        return reason
    if call.sharding != "local":
        return "the compiler cannot partition its kernel. Use explicit mesh axes, or shard_map."
    sizes = [size for own in call.arrays if own is not None for size in own.shape]
    if not are_known((*sizes, *call.plan.global_shape, *call.batch)):
        return "its dimensions must be known."
    return kernel.refuses(call)


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
