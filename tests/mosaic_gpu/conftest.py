"""No GPU is at hand, and programs lowered for another platform are for none that jax knows."""

import pytest

from flaxnoise.backends.mosaic_gpu.devices import ENVIRONMENT


@pytest.fixture(autouse=True)
def hopper_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT, "9.0")
