"""Compiles for GPUs and TPUs ahead of time, without a device; nothing is run.

The wheels that do it are installed outside of site-packages (scripts/setup_aot.sh), as jax would
otherwise look for a device whenever it starts. A process that compiles has them on its path.
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GPUS = ("h100", "a100")
TPUS = ("v4", "v5e", "v5p", "v6e", "tpu7x")
DEVICES = {"gpu": GPUS, "tpu": TPUS}
_MODULES = {"gpu": "jax_plugins", "tpu": "libtpu"}


def wheels(kind: str) -> Path:
    """Returns the folder of the wheels for "gpu" or "tpu", which may not exist."""
    return Path(os.environ.get(f"FLAXNOISE_AOT_{kind.upper()}", Path(sys.prefix, f"aot-{kind}")))


def missing(kind: str) -> str | None:
    """Returns why nothing can be compiled for GPUs or TPUs here, or None."""
    if (wheels(kind) / _MODULES[kind]).is_dir():
        return None
    return f"the wheels of the extra aot-{kind} are not in {wheels(kind)}: run scripts/setup_aot.sh"


def environment(kind: str) -> dict[str, str]:
    """Returns the environment of a process that compiles for "gpu" or "tpu"."""
    own = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    tools = ":".join(map(str, wheels(kind).glob("nvidia/cu*/bin")))
    return own | {
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": f"{ROOT}:{wheels(kind)}",
        "PATH": f"{tools}:{os.environ['PATH']}",
        "TPU_SKIP_MDS_QUERY": "1",  # there is no metadata server to ask
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # there is no device for processes to compete for
    }


def target() -> str:
    """What this process compiles for: "gpu" or "tpu" if its wheels are on the path, else "cpu"."""
    return next((kind for kind in _MODULES if str(wheels(kind)) in sys.path), "cpu")
