"""Who takes part: one that does a kind of work, ours or a rival."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from bench import cases, rivals
from bench.programs import Heat, Program


class Entrant(NamedTuple):
    """One line of a table of results.

    Attributes:
        work: which law it obeys.
        library: whose it is.
        variant: which of that library's.
        build: makes it ready for a heat; raises NotImplementedError if it cannot take part.
    """

    work: str
    library: str
    variant: str
    build: Callable[[Heat], Program]


def everyone(platform: str) -> tuple[list[Entrant], list[dict[str, Any]]]:
    """All that can take part here, and a record with the reason for each that is missing.

    Args:
        platform: jax's name of it.
    """
    entrants, missing = [], []
    for name, reason in cases.missing(platform).items():
        missing.append({"record": "missing", "library": f"flaxnoise ({name})", "reason": reason})
    for case in cases.CASES:
        for backend in cases.backends(platform):
            build = cases.builder(case, backend)
            entrants.append(Entrant(case.work, "flaxnoise", backend, build))
    absent = rivals.missing(sorted({rival.library for rival in rivals.RIVALS}))
    for library, reason in absent.items():
        missing.append({"record": "missing", "library": library, "reason": reason})
    for rival in rivals.RIVALS:
        if rival.library not in absent:
            entrants.append(Entrant(rival.work, rival.library, rival.variant, rival.build))
    return entrants, missing


def of(entrants: Iterable[Entrant], works: Iterable[str]) -> list[Entrant]:
    wanted = set(works)
    return [entrant for entrant in entrants if entrant.work in wanted]
