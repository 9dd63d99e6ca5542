"""Every public function that draws noise has a row in a table, or a test file of its own."""

import inspect
from pathlib import Path

import pytest

import flaxnoise
from cases import CASES, Case, every_case
from structured_cases import STRUCTURED

FAMILY = Path(__file__).parents[1] / "family"


def noise_functions() -> dict[str, inspect.Signature]:
    """Returns the public functions whose first argument is a key and whose second is x."""
    signatures = {
        name: inspect.signature(value)
        for name, value in vars(flaxnoise).items()
        if inspect.isfunction(value) and not name.startswith("_")
    }
    return {
        name: signature
        for name, signature in signatures.items()
        if list(signature.parameters)[:2] == ["key", "x"]
    }


def test_every_function_has_a_row():
    rows = {row.function.__name__ for row in (*CASES, *STRUCTURED)}
    elsewhere = "".join(file.read_text() for file in FAMILY.glob("test_*.py"))
    missing = [
        name
        for name in noise_functions()
        if name not in rows and f"flaxnoise.{name}" not in elsewhere
    ]
    assert not missing, (
        f"add a row to tests/support/cases.py, or a file to tests/family, for {missing}"
    )


def test_a_function_without_a_row_is_noticed(monkeypatch: pytest.MonkeyPatch):
    def pepper(key, x, rate):
        """A new noise."""

    monkeypatch.setattr(flaxnoise, "pepper", pepper, raising=False)
    with pytest.raises(AssertionError, match=r"add a row to tests/support/cases.py.*'pepper'"):
        test_every_function_has_a_row()


@every_case
def test_rows_are_public_functions_and_name_their_parameters(case: Case):
    assert getattr(flaxnoise, case.name) is case.function
    parameters = inspect.signature(case.function).parameters
    assert tuple(parameters) == ("key", "x", *case.names, "broadcast_dims")
    assert parameters["broadcast_dims"].kind is inspect.Parameter.KEYWORD_ONLY
    assert len(case.params) == len(case.names)


@every_case
def test_docstrings_tell_arguments_result_errors_and_an_example(case: Case):
    text = inspect.getdoc(case.function) or ""
    for section in ("Args:", "Returns:", "Raises:", "Example:"):
        assert f"\n{section}\n" in text
    for name in ("key", "x", *case.names, "broadcast_dims"):
        assert f"\n    {name}: " in text
