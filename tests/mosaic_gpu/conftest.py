"""No GPU is present, and lowering for another platform does not tell which device it is for."""

import pytest

from flaxnoise.backends.mosaic_gpu.devices import ENVIRONMENT


@pytest.fixture(autouse=True)
def hopper_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT, "9.0")
