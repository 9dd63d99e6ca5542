"""What a layer is in every framework: a function, its arguments as fields, a key from a stream."""

import functools
import inspect
import numbers
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import jax


class Layer:
    """Base of the base classes: knows the function, not the framework.

    A layer names its function and has a field for each argument that the function takes after key
    and x. Those that it takes by position, such as rate, may be given at call time, and then win.

    Attributes:
        _function: called as ``function(key, x, …)``.
        _certain: values of an argument at which every key gives the same result, so that a layer
            without a stream works as well.
    """

    _function: ClassVar[Callable[..., jax.Array]]
    _certain: ClassVar[Mapping[str, tuple[float, ...]]] = {
        "rate": (0,),
        "stddev": (0,),
        "scale": (0,),
    }
    _fields: ClassVar[tuple[str, ...]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        if "_function" in vars(cls):
            _, _, *arguments = inspect.signature(cls._function).parameters.values()
            cls._fields = tuple(argument.name for argument in arguments)
            positional = [each for each in arguments if each.kind is each.POSITIONAL_OR_KEYWORD]
            cls.__call__ = _accepting(cls.__call__, positional)
        super().__init_subclass__(**kwargs)

    def _arguments(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The fields, or what the call gives instead."""
        return {
            name: getattr(self, name) if given.get(name) is None else given[name]
            for name in self._fields
        }

    def _is_certain(self, arguments: Mapping[str, Any]) -> bool:
        """Whether a number known while tracing makes the result the same for every key."""
        return any(
            isinstance(arguments.get(name), numbers.Real) and arguments[name] in values
            for name, values in self._certain.items()
        )


def _accepting(
    call: Callable[..., Any], arguments: list[inspect.Parameter]
) -> Callable[..., jax.Array]:
    """Makes a call take the arguments as keywords, and no others, with a signature that tells.

    nnx.Sequential reads it, and hands a keyword to those of its layers that have it there.
    """
    signature = inspect.signature(call)
    shared = [each for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD]
    own = [each.replace(kind=each.KEYWORD_ONLY, default=None) for each in arguments]
    signature = signature.replace(parameters=shared + own)

    @functools.wraps(call)
    def accepting(*args: Any, **kwargs: Any) -> jax.Array:
        signature.bind(*args, **kwargs)
        return call(*args, **kwargs)

    vars(accepting)["__signature__"] = signature
    return accepting
