"""Checks whether the GPUs that a program is compiled for can run Mosaic GPU kernels."""

import os
from collections.abc import Sequence
from typing import Any

import jax

ENVIRONMENT = "FLAXNOISE_CUDA_CAPABILITY"  # of GPUs that jax does not report
_FIRST_CAPABILITY = 9.0


def refusal(devices: Sequence[Any], exported: bool, *, below: float = float("inf")) -> str | None:
    """Why the GPUs cannot run the kernel, or None; on an older GPU, Mosaic aborts the process.

    The devices that jax reports count first, then the environment variable, then the local GPUs.
    For an export jax reports the devices it was made on, so the variable counts first.

    Args:
        devices: devices that jax reports.
        exported: whether the program is exported.
        below: the first compute capability that cannot run the kernel any more.
    """
    capability = os.environ.get(ENVIRONMENT)
    described = [] if capability is None else [(ENVIRONMENT, capability)]
    given = _capabilities(devices)
    known = (described or given if exported else given or described) or _capabilities(_at_hand())
    last = "or later" if below == float("inf") else f"and below {below}"
    needed = f"it needs compute capability {_FIRST_CAPABILITY} (Hopper) {last}, and"
    for name, own in known:
        try:
            enough = _FIRST_CAPABILITY <= float(own) < below
        except ValueError:
            return f"{needed} {name} is no number: {own!r}."
        if not enough:
            return f"{needed} {name} has {own}. The xla form serves it."
    if not known:
        return (
            f"{needed} the GPU that the program is for is neither known nor at hand. "
            f"Say what it has, as {ENVIRONMENT}={_FIRST_CAPABILITY}."
        )
    return None


def _capabilities(devices: Sequence[Any]) -> list[tuple[str, str]]:
    """Names and compute capabilities of the GPUs among the devices."""
    found = ((device, getattr(device, "compute_capability", None)) for device in devices)
    return [(device.device_kind, str(own)) for device, own in found if own is not None]


def _at_hand() -> Sequence[Any]:
    try:
        return jax.devices("cuda")
    except RuntimeError:
        return ()
