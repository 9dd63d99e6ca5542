"""The backend as the one that serves, on the CPU by interpretation."""

import functools
from collections.abc import Iterator

import pytest

import flaxnoise
from flaxnoise.backends import choice, mosaic_tpu


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Public functions take the kernel, whatever the platform."""
    form = functools.partial(mosaic_tpu.affine, interpret=True)
    entry = choice.BACKENDS["mosaic_tpu"]._replace(platforms=("cpu",), form=form)
    monkeypatch.setitem(choice.BACKENDS, "mosaic_tpu", entry)
    with flaxnoise.backend("mosaic_tpu"):
        yield
