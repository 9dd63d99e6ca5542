"""No GPU is at hand, and programs lowered for another platform are for none that jax knows."""

import pytest

from flaxnoise.backends import mosaic_gpu


@pytest.fixture(autouse=True)
def hopper_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(mosaic_gpu.ENVIRONMENT, "9.0")
