"""Argument values at which a function's result does not depend on its key."""

import numbers
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

_ATTRIBUTE = "same_for_every_key_at"


def same_for_every_key(**values: tuple[float, ...]) -> Callable[[Function], Function]:
    """Declares argument values at which a function's result does not depend on its key.

    At these values a layer of the function works without a stream of keys, as Flax's Dropout does
    at rates 0 and 1.

    Args:
        **values: values by argument name. One argument at one of its values is enough.

    Returns:
        A decorator that sets an attribute on the function and returns the function.
    """

    def declare(function: Function) -> Function:
        setattr(function, _ATTRIBUTE, values)
        return function

    return declare


def is_certain(function: Callable[..., Any], arguments: Mapping[str, Any]) -> bool:
    """Whether an argument has one of the values declared by ``same_for_every_key``.

    Args:
        function: a function, with or without a declaration.
        arguments: values by argument name. Only numbers count; arrays are ignored.
    """
    return any(
        isinstance(arguments.get(name), numbers.Real) and arguments[name] in values
        for name, values in getattr(function, _ATTRIBUTE, {}).items()
    )
