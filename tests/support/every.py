"""One test for many cases: it goes through all of them and reports each that fails by its name.

``pytest --cases REGEX`` runs only the tests and the cases whose names match.
"""

import collections
import functools
import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest

Case = tuple[str, dict[str, Any]]


def every(
    names: str | Sequence[str],
    values: Iterable[Any],
    ids: Callable[[Any], str] | Iterable[str] | None = None,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Returns a decorator that calls a test with each of the values, each as a subtest.

    The arguments are those of pytest.mark.parametrize, and decorators of both kinds can be
    stacked: those of this kind make one test of the product of their cases. A case that fails or
    skips does not keep the others from running. Fixtures are set up once for all cases.
    """
    arguments = names.replace(" ", "").split(",") if isinstance(names, str) else list(names)
    axis = _cases(arguments, list(values), ids)

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        one_case = getattr(test, "one_case", test)
        inner = getattr(test, "cases", [("", {})])
        cases = [
            ("-".join(filter(None, (before, name))), {**fixed, **case})
            for name, case in axis
            for before, fixed in inner
        ]
        assert cases, f"{test.__name__}: no cases of {names}"

        @functools.wraps(one_case)
        def run(subtests: pytest.Subtests, pytestconfig: pytest.Config, **fixtures: Any) -> None:
            chosen = pytestconfig.getoption("cases", default=None) or ""
            for name, case in [each for each in cases if re.search(chosen, each[0])] or cases:
                with subtests.test(name):
                    one_case(**fixtures, **case)

        own = inspect.signature(one_case).parameters
        missing = set(cases[0][1]) - set(own)
        assert not missing, f"{test.__name__} has no argument {sorted(missing)}"
        rest = [parameter for name, parameter in own.items() if name not in cases[0][1]]
        rest += list(inspect.signature(run, follow_wrapped=False).parameters.values())[:2]
        vars(run).update(vars(test))
        run.__signature__ = inspect.Signature(rest)  # pyright: ignore[reportFunctionMemberAccess]
        vars(run).update(one_case=one_case, cases=cases)
        return run

    return decorate


def deselect(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves only the tests that --cases names, or of which it names a case."""
    chosen = config.getoption("cases") or ""

    def is_chosen(item: pytest.Item) -> bool:
        cases = getattr(getattr(item, "obj", None), "cases", ())
        return any(re.search(chosen, name) for name in (item.name, *dict(cases)))

    config.hook.pytest_deselected(items=[item for item in items if not is_chosen(item)])
    items[:] = filter(is_chosen, items)


def _cases(arguments: list[str], values: list[Any], ids: Any) -> list[Case]:
    """Returns the name and the arguments of each case."""
    names = None if ids is None or callable(ids) else list(ids)
    cases = []
    for i, value in enumerate(values):
        name = names[i] if names else None
        if hasattr(value, "marks"):  # made by pytest.param
            assert not value.marks, "a case has no marks of its own"
            name, value = value.id, value.values if len(arguments) > 1 else value.values[0]
        row = tuple(value) if len(arguments) > 1 else (value,)
        shown = [
            ids(part) if callable(ids) else _shown(argument, part, i)
            for argument, part in zip(arguments, row, strict=True)
        ]
        cases.append((name or "-".join(shown), dict(zip(arguments, row, strict=True))))
    counts = collections.Counter(name for name, _ in cases)
    return [
        (name if counts[name] == 1 else f"{name}-{i}", case) for i, (name, case) in enumerate(cases)
    ]


def _shown(argument: str, value: Any, i: int) -> str:
    """Returns the value if it is short, else the argument's name and the number of the case."""
    if isinstance(value, type) or inspect.isfunction(value):
        return value.__name__
    text = str(value) if isinstance(value, str | int | float | tuple | None) else ""
    return text if 0 < len(text) <= 40 else f"{argument}{i}"
