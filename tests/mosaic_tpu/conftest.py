"""Runs public functions on the TPU kernel, interpreted on the CPU."""

from collections.abc import Iterator

import pytest

import flaxnoise
from flaxnoise.backends import choice
from flaxnoise.backends.mosaic_tpu.backend import MosaicTpu


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Public functions use the kernel on every platform."""
    entry = MosaicTpu(interpret=True, platforms=("cpu",))
    monkeypatch.setitem(choice.BACKENDS, "mosaic_tpu", entry)
    with flaxnoise.backend("mosaic_tpu"):
        yield
