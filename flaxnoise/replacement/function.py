"""A wrapper that replaces Flax's dropout by flaxnoise within a function."""

import contextlib
import dataclasses
import functools
import threading
import types
from collections.abc import Callable, Hashable, Iterator
from typing import Any

import jax
from flax import nnx

from flaxnoise.draws import Draw, dropouts
from flaxnoise.replacement.context import replaced
from flaxnoise.replacement.report import Report, tell, warn_of_nothing

_running = threading.local()


class Replaced:
    """A function that runs with Flax's dropout replaced by flaxnoise; see ``replace_dropout``.

    Args:
        function: such as ``model.apply`` or a training step.
        strict: whether to raise if some dropout is not replaced.
        report: called with a Report before the first call with arguments of a new structure, shape
            or dtype.
    """

    _depth = 3  # from the warning to the caller

    def __init__(
        self,
        function: Callable[..., Any],
        strict: bool = False,
        report: Callable[[Report], object] | None = None,
    ) -> None:
        functools.update_wrapper(self, function)
        self._function, self._strict, self._report = function, strict, report
        self._inspected: set[Hashable] = set()
        self._found_some = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the function.

        Raises:
            ValueError: strict, and some dropout is not replaced; or raised by the function.
        """
        if self._strict or self._report is not None:
            self._inspect(args, kwargs)
        with replaced() as seen:
            result = self._function(*args, **kwargs)
        if not (seen or self._found_some) and not self._draws(args, kwargs):
            warn_of_nothing(_name(self._function), self._depth)
        self._found_some = True
        return result

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """Binds the function, so that it can decorate methods."""
        return self if instance is None else types.MethodType(self, instance)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles the arguments of the constructor."""
        return Replaced, (self._function, self._strict, self._report)

    def _inspect(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        owner = getattr(self._function, "__self__", None)
        # A model of nnx is an argument of its methods: what it draws depends on its flags.
        model = owner if isinstance(owner, nnx.Module) else None
        kind = _kind((model, *args), kwargs)
        if kind in self._inspected:
            return
        draws = self._draws(args, kwargs)
        report = Report(
            replaced=tuple(str(draw) for draw in draws if draw.replaces_flax),
            left=tuple(str(draw) for draw in draws if _looks_like_dropout(draw)),
        )
        tell(report, strict=self._strict, listener=self._report)
        self._inspected.add(kind)

    def _draws(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Draw, ...]:
        with replaced():
            return dropouts(self._function, *args, **kwargs)


@dataclasses.dataclass(frozen=True)
class Inspection:
    """What is done before a method of a replaced model runs.

    Attributes:
        strict: whether to raise if some dropout is not replaced.
        report: called with a Report, or None. Not pickled.
        warns: whether to warn if the first call has no dropout.
    """

    strict: bool = False
    report: Callable[[Report], object] | None = None
    warns: bool = False

    def __hash__(self) -> int:
        return hash((self.strict, self.warns))  # the listener need not be hashable

    def __reduce__(self) -> tuple[Any, ...]:
        return Inspection, (self.strict,)


class ReplacedMethod(Replaced):
    """A method that runs with Flax's dropout replaced by flaxnoise.

    Methods called by it, of the same model, are neither inspected nor in a context of their own.

    Args:
        method: the function, or another callable that is called with the module first.
        inspection: what is inspected in calls.
    """

    _depth = 5

    def __init__(self, method: Callable[..., Any], inspection: Inspection) -> None:
        super().__init__(method, inspection.strict, inspection.report)
        self._inspection = inspection
        self._is_call = getattr(method, "__name__", "") == "__call__"
        self._found_some = not (inspection.warns and self._is_call)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the method; arguments and errors as in ``Replaced``."""
        outer = getattr(_running, "inspections", ())
        if outer and self._inspection in (*outer, Inspection()):
            return self._function(*args, **kwargs)
        with _inspecting((*outer, self._inspection)):
            return super().__call__(*args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles the arguments of the constructor."""
        return ReplacedMethod, (self._function, self._inspection)

    def _inspect(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        try:
            super()._inspect(args, kwargs)
        except (jax.errors.JAXTypeError, jax.errors.JAXIndexError):
            if self._is_call:
                raise
            # A method such as a loop on the host, which cannot be traced.


@contextlib.contextmanager
def _inspecting(inspections: tuple[Inspection, ...]) -> Iterator[None]:
    outer = getattr(_running, "inspections", ())
    _running.inspections = inspections
    try:
        yield
    finally:
        _running.inspections = outer


def _name(function: Callable[..., Any]) -> str:
    name = getattr(function, "__name__", type(function).__name__)
    owner = getattr(function, "__self__", None)
    if owner is None and name.startswith("__"):  # a method before it is bound
        return ".".join(function.__qualname__.split(".")[-2:])
    return name if owner is None else f"{type(owner).__name__}.{name}"


def _kind(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Hashable:
    """A cache key: shapes and dtypes of arrays, and all other arguments themselves."""
    leaves, structure = jax.tree.flatten((args, kwargs))
    kinds = [
        (leaf.shape, str(leaf.dtype)) if hasattr(leaf, "dtype") else _hashable(leaf)
        for leaf in leaves
    ]
    return structure, tuple(kinds)


def _hashable(leaf: Any) -> Hashable:
    try:
        hash(leaf)
    except TypeError:  # also of a tuple or dataclass of something else
        return id(leaf)
    return leaf


def _looks_like_dropout(draw: Draw) -> bool:
    """Whether a draw is a bernoulli, or a uniform in the client's code: it may serve as a mask."""
    if draw.computed_by == "flax":
        return draw.function == "jax.random.bernoulli"
    names = ("jax.random.bernoulli", "jax.random.uniform")
    return draw.computed_by == "client" and draw.function in names
