"""bench.wheel compares two libraries, refuses different results, and finds a slow kernel."""

import pytest

from bench import wheel
from bench.measure import Setting, WrongError
from flaxnoise.backends.cpu import library

if library.missing() is not None:
    pytest.skip(f"the compiled kernel is missing: {library.missing()}", allow_module_level=True)


@pytest.fixture(autouse=True)
def _twice_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The installed library in both places, and little work."""
    path = library._installed(library.LIBRARY)
    assert path is not None
    for name in ("wheel", "compiler"):
        wheel.load(name, path)
    monkeypatch.setattr(wheel, "SETTING", Setting((4, 1024)))
    monkeypatch.setattr(wheel, "CALLS", 2)


@pytest.mark.parametrize(
    ("work", "dtype", "goal"),
    [
        ("dropout", "float32", 1e9),
        ("dropout", "bfloat16", 1e-9),
        ("gaussian_noise", "float32", None),
    ],
)
def test_a_row(work: str, dtype: str, goal: float, capsys: pytest.CaptureFixture[str], monkeypatch):
    monkeypatch.setattr(wheel, "GOALS", {"baseline": goal})
    assert wheel.compare("baseline", work, dtype, 2) == (goal == 1e-9)
    assert f"{work:15}{dtype}" in capsys.readouterr().out


def test_different_results_are_refused(monkeypatch: pytest.MonkeyPatch):
    right = wheel.repeated
    wrong = {"wheel": right("wheel", "dropout"), "compiler": lambda x: x}
    monkeypatch.setattr(wheel, "repeated", lambda name, work: wrong[name])
    with pytest.raises(WrongError, match="dropout float32 differs"):
        wheel.compare("baseline", "dropout", "float32", 2)
