"""What a replacement reached, and what it left."""

import dataclasses
import warnings
from collections.abc import Callable

_HINT = (
    "Those are computed as before; dropout of the model's own can call flaxnoise.dropout, "
    "and any draw is faster under a key of flaxnoise.random.key."
)


@dataclasses.dataclass(frozen=True)
class Report:
    """What replace_dropout reached, and what it left.

    Attributes:
        replaced: Flax's dropout that flaxnoise now computes, each with its place in the model.
        left: other calls that look like dropout, each with its place.
    """

    replaced: tuple[str, ...]
    left: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"replace_dropout: {len(self.replaced)} replaced, {len(self.left)} left"]
        lines += [f"  replaced {entry}" for entry in self.replaced]
        lines += [f"  left {entry}" for entry in self.left]
        return "\n".join(lines)


def tell(report: Report, *, strict: bool, listener: Callable[[Report], object] | None) -> None:
    """Hands a report to who asked for it.

    Args:
        report: the report.
        strict: whether something that is left is an error.
        listener: is called with the report.

    Raises:
        ValueError: strict, and something is left.
    """
    if listener is not None:
        listener(report)
    if strict and report.left:
        raise ValueError(
            f"replace_dropout: strict=True leaves nothing, got {'; '.join(report.left)}. {_HINT}"
        )


def warn_of_nothing(name: str) -> None:
    """Says that there was nothing to replace."""
    warnings.warn(
        f"replace_dropout: found no dropout of Flax's in {name}, so that nothing was replaced.",
        stacklevel=3,
    )
