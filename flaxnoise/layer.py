"""The framework-independent part of layers: a function, its arguments as fields, checks."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from flaxnoise import arguments, functional
from flaxnoise.functional.certain import is_certain


class Layer:
    """Base class of the layers of all frameworks.

    A subclass names a function and has a field for each argument of the function after key and x.
    Positional arguments, such as rate, may also be given at call time, which overrides the field.

    Attributes:
        _function: called as ``function(key, x, …)``. A layer needs no key at the values declared by
            ``same_for_every_key`` on the function.
    """

    _function: ClassVar[Any] = None
    _fields: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        positional: list[inspect.Parameter] = []
        if "_function" in vars(cls):
            _, _, *parameters = inspect.signature(cls._function).parameters.values()
            cls._fields = tuple(parameter.name for parameter in parameters)
            positional = [each for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD]
        if "_function" in vars(cls) or "__call__" in vars(cls):
            cls.__call__ = _checked_call(cls.__call__, positional)
        super().__init_subclass__(**kwargs)

    def _check(self, values: Mapping[str, Any]) -> None:
        """Checks the values that can be checked without inputs. None means not given yet."""
        owner = getattr(self._function, "__name__", type(self).__name__)
        for name, value in values.items():
            if name in _CHECKS and value is not None:
                _CHECKS[name](owner, value)

    def _check_fields(self) -> None:
        self._check({name: getattr(self, name, None) for name in (*self._fields, "initial")})

    def _arguments(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments of the function: those given to the call, else the fields."""
        return {
            name: getattr(self, name) if given.get(name) is None else given[name]
            for name in self._fields
        }

    def _apply(self, key: jax.Array, inputs: jax.Array, values: Mapping[str, Any]) -> jax.Array:
        return self._function(key, inputs, **values)

    def _is_certain(self, values: Mapping[str, Any]) -> bool:
        """Whether a static argument makes the result the same for every key."""
        numbers = {name: number(value) for name, value in values.items()}
        return is_certain(self._function, numbers)


def apply_dropout(
    key: jax.Array, inputs: jax.Array, rate: jax.typing.ArrayLike, broadcast_dims: Any
) -> jax.Array:
    """``flaxnoise.dropout``, but accepts integers at rate 0, as Flax's Dropout does."""
    if arguments.is_zero(number(rate)) and not jnp.issubdtype(jnp.result_type(inputs), jnp.inexact):
        return inputs
    return functional.dropout(key, inputs, rate, broadcast_dims=broadcast_dims)


def number(value: Any) -> Any:
    """Converts a NumPy or JAX scalar on the host to a number; returns other values unchanged."""
    is_scalar = isinstance(value, np.ndarray | jax.Array) and value.ndim == 0
    return value.item() if is_scalar and arguments.on_host(value) else value


def _rate(owner: str, value: Any) -> None:
    arguments.rate(owner, value, None, below_one=owner == "gaussian_dropout")


def _scale(owner: str, value: Any) -> None:
    if owner == "drop_path":
        arguments.flag(owner, "scale", value)
    else:
        arguments.nonnegative(owner, "scale", value, None)


def _block_size(owner: str, value: Any) -> None:
    if owner.endswith(("_1d", "_2d", "_3d")):
        arguments.sides(owner, "block_size", value, int(owner[-2]))


def _number_check(check: Callable[..., Any], name: str) -> Callable[[str, Any], Any]:
    return lambda owner, value: check(owner, name, value, None)


_CHECKS: Mapping[str, Callable[[str, Any], Any]] = {
    "rate": _rate,
    "scale": _scale,
    "stddev": _number_check(arguments.nonnegative, "stddev"),
    "low": _number_check(arguments.finite, "low"),
    "high": _number_check(arguments.finite, "high"),
    "initial": _number_check(arguments.real, "initial"),
    "temperature": _number_check(arguments.positive, "temperature"),
    "mode": lambda owner, value: arguments.one_of(owner, "mode", value, ("row", "batch")),
    "block_size": _block_size,
    "broadcast_dims": lambda owner, value: arguments.dimensions(owner, value, None),
    "mask_id": lambda owner, value: arguments.integers(owner, "mask_id", value),
    "protected": lambda owner, value: arguments.integers(owner, "protected", value),
}


def _checked_call(
    call: Callable[..., Any], parameters: list[inspect.Parameter]
) -> Callable[..., Any]:
    """Wraps a call such that its signature and its errors name the parameters as keywords.

    nnx.Sequential passes a keyword to those of its layers that have it in their signature.
    """
    signature = inspect.signature(call)
    own = [each.replace(kind=each.KEYWORD_ONLY, default=None) for each in parameters]
    if own:
        shared = signature.parameters.values()
        shared = [each for each in shared if each.kind is not each.VAR_KEYWORD]
        signature = signature.replace(parameters=shared + own)

    @functools.wraps(call)
    def checked(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            signature.bind(self, *args, **kwargs)
        except TypeError as error:
            takes = ", ".join(list(signature.parameters)[1:])
            raise TypeError(f"{type(self).__name__}: {error}. A call takes ({takes}).") from None
        return call(self, *args, **kwargs)

    vars(checked)["__signature__"] = signature
    return checked
