"""Other libraries, imported when they are asked for: none of them needs to be installed."""

import importlib
import os
from typing import Any

# What each library of the table of rivals is imported as.
NAMES = {
    "jax": "jax",
    "flax.linen": "flax.linen",
    "flax.nnx": "flax.nnx",
    "keras": "keras",
    "equinox": "equinox",
    "haiku": "haiku",
    "torch": "torch",
    "numpy": "numpy",
}


def load(library: str) -> Any:
    """The module; raises ImportError if it is missing, or does not run as it must here."""
    if library == "keras":
        os.environ.setdefault("KERAS_BACKEND", "jax")
    module = importlib.import_module(NAMES[library])
    if library == "keras" and module.backend.backend() != "jax":
        raise ImportError(
            f"it runs on {module.backend.backend()} here, and is compared on JAX. "
            "Set KERAS_BACKEND=jax."
        )
    if library == "torch":
        module.set_num_threads(len(os.sched_getaffinity(0)))
    return module


def missing(library: str) -> str | None:
    """Why a library cannot be used, or None."""
    try:
        load(library)
    except ImportError as error:
        return str(error)
    return None
