"""Reports of what was replaced and what was not."""

import dataclasses
import warnings
from collections.abc import Callable

_HINT = (
    "Those are computed as before; dropout of the model's own can call flaxnoise.dropout, "
    "and any draw is faster under a key of flaxnoise.random.key."
)


@dataclasses.dataclass(frozen=True)
class Report:
    """What replace_dropout replaced, and what it left unchanged.

    Attributes:
        replaced: the replaced dropout calls of Flax, each with its location in the model.
        left: other calls that look like dropout, each with its location.
    """

    replaced: tuple[str, ...]
    left: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"replace_dropout: {len(self.replaced)} replaced, {len(self.left)} left"]
        lines += [f"  replaced {entry}" for entry in self.replaced]
        lines += [f"  left {entry}" for entry in self.left]
        return "\n".join(lines)


def tell(report: Report, *, strict: bool, listener: Callable[[Report], object] | None) -> None:
    """Passes a report to the listener, and raises if ``strict`` is violated.

    Args:
        report: the report.
        strict: whether to raise if the report lists dropout that is left.
        listener: called with the report, or None.

    Raises:
        ValueError: strict, and the report lists dropout that is left.
    """
    if listener is not None:
        listener(report)
    if strict and report.left:
        raise ValueError(
            f"replace_dropout: strict=True leaves nothing, got {'; '.join(report.left)}. {_HINT}"
        )


def warn_of_nothing(name: str, depth: int = 3) -> None:
    """Warns, at a depth of the stack, that there was nothing to replace."""
    warnings.warn(
        f"replace_dropout: found no dropout of Flax's in {name}, so that nothing was replaced.",
        stacklevel=depth,
    )
