"""Forces the kernel under test, so that a test cannot pass on another."""

from collections.abc import Iterator

import pytest

import flaxnoise
from flaxnoise.backends import choice
from meshes import OPAQUE, available


@pytest.fixture
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Forces a kernel, on every kind of mesh."""
    monkeypatch.setitem(choice.BACKENDS, "opaque", OPAQUE)
    with flaxnoise.backend(available(request.param)):
        flaxnoise.partition_kernels()
        yield request.param
        flaxnoise.partition_kernels(enable=False)


@pytest.fixture
def served_by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Forces a kernel as above, or the xla form, which needs no partition_kernels."""
    monkeypatch.setitem(choice.BACKENDS, "opaque", OPAQUE)
    with flaxnoise.backend(available(request.param)):
        flaxnoise.partition_kernels(enable=request.param != "xla")
        yield request.param
        flaxnoise.partition_kernels(enable=False)
