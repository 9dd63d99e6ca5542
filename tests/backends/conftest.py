"""Fixtures of the suites: the GPU that programs are lowered for, and the C++ kernel."""

import pytest

from flaxnoise.backends.cpu import library as cpu_library
from flaxnoise.backends.mosaic_gpu.devices import ENVIRONMENT


@pytest.fixture(autouse=True)
def _hopper_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT, "9.0")


@pytest.fixture
def needs_kernel(request: pytest.FixtureRequest) -> None:
    """Skips tests that compare with the C++ kernel if it is not built."""
    own = getattr(request.node, "callspec", None)
    missing = cpu_library.missing()
    if missing is not None and (own is None or own.params.get("name") == "cpu"):
        pytest.skip(f"no C++ kernel: {missing}")
