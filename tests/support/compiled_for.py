"""The devices for which tests compile ahead of time."""

import os

from bench import aot

ENVIRONMENT = "FLAXNOISE_TEST_DEVICES"
# v5e is the TPU that the goals are for; the later ones have cores like its own.
SOME = {"gpu": ("h100",), "tpu": ("v5e",)}


def devices(kind: str) -> tuple[str, ...]:
    """Returns the devices of kind "gpu" or "tpu": SOME, or all if the environment says so."""
    said = os.environ.get(ENVIRONMENT, "some")
    assert said in ("some", "all"), f"{ENVIRONMENT} must be some or all, got {said}"
    return aot.DEVICES[kind] if said == "all" else SOME[kind]
