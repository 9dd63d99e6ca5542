"""Every SIMD target that this processor has, in one process."""

import shutil
from collections.abc import Iterator

import pytest

from flaxnoise.backends.cpu import library as cpu_library

MISSING = cpu_library.missing()
TARGETS = cpu_library.simd_targets() if MISSING is None else ("none",)


@pytest.fixture(autouse=True, scope="session")
def _library() -> None:
    if MISSING is not None:
        compiler = shutil.which("c++")
        assert compiler is None, f"{compiler} is here, and the cpu backend is missing: {MISSING}"
        pytest.skip(f"there is no C++ compiler, and the cpu backend is missing: {MISSING}")


@pytest.fixture(params=TARGETS)
def simd(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs the test once for each target, then restores the previous one."""
    before = cpu_library.simd_target()
    cpu_library.use_simd_target(request.param)
    yield request.param
    cpu_library.use_simd_target(before)
