"""Which numbers make a function's result the same for every key."""

import numbers
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

_ATTRIBUTE = "same_for_every_key_at"


def same_for_every_key(**values: tuple[float, ...]) -> Callable[[Function], Function]:
    """Declares numbers at which a function's result does not depend on its key.

    A layer of the function then works without a stream of keys, as Flax's Dropout does at rates 0
    and 1.

    Args:
        **values: by the name of an argument, the numbers; each of them alone is enough.

    Returns:
        A decorator, which gives the function back with an attribute on it.
    """

    def declare(function: Function) -> Function:
        setattr(function, _ATTRIBUTE, values)
        return function

    return declare


def is_certain(function: Callable[..., Any], arguments: Mapping[str, Any]) -> bool:
    """Whether a number among the arguments makes the function's result the same for every key.

    Args:
        function: with or without a declaration.
        arguments: by name. Arrays, traced or not, decide nothing.
    """
    return any(
        isinstance(arguments.get(name), numbers.Real) and arguments[name] in values
        for name, values in getattr(function, _ATTRIBUTE, {}).items()
    )
