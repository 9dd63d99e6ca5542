"""Each suite of calls fails on defects that are planted in its backend."""

from collections.abc import Iterator

import pytest

import conformance
from suites import SUITES


@pytest.fixture(autouse=True)
def _compiled_anew() -> Iterator[None]:
    conformance.forget()
    yield
    conformance.forget()


@pytest.mark.parametrize(
    ("name", "defect"),
    [(name, defect) for name, own in conformance.DEFECTS.items() for defect in own],
)
@pytest.mark.usefixtures("needs_kernel")
def test_a_defect_is_found(name: str, defect: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(*conformance.DEFECTS[name][defect])
    with pytest.raises(AssertionError, match="elements are wrong"):
        SUITES[name].run(shrinks=False)
