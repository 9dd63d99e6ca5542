"""Classes for the modules of existing models: subclasses of a client's, made when needed.

A module gets such a class by assignment of its ``__class__``. So it stays an instance of the
client's class, and its attributes, and with them its graph and its checkpoints, do not change.
"""

import copyreg
import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

from flax import nnx

from flaxnoise.nnx.dropout import Dropout
from flaxnoise.replacement import Inspection, ReplacedMethod

_MADE_BY = "_flaxnoise_made_by"


@functools.cache
def dropout_class(cls: type) -> type:
    """A client's subclass of nnx.Dropout that computes dropout by flaxnoise.

    Our Dropout comes after the client's class in the order of methods, so that it is found by
    super().__call__ in that class, or directly if that class has no __call__.
    """
    return _derived(cls, (cls, Dropout), {}, (dropout_class, (cls,)))


@functools.cache
def calling_class(cls: type, inspection: Inspection) -> type:
    """A client's class whose methods run with Flax's dropout replaced by flaxnoise.

    Args:
        cls: a class of modules.
        inspection: what is inspected before a method runs.
    """
    methods = {name: _replaced(method, inspection) for name, method in _methods(cls)}
    return _derived(cls, (cls,), methods, (calling_class, (cls, inspection)))


def clients_class(cls: type) -> type:
    """The client's class of which a class was made here."""
    return vars(cls)[_MADE_BY][1][0]


def is_derived(cls: type) -> bool:
    """Whether a class was made here."""
    return _MADE_BY in vars(cls)


def _replaced(method: Callable[..., Any], inspection: Inspection) -> Callable[..., Any]:
    """A method that runs in context: a function, as nnx.tabulate expects of methods."""
    replaced = ReplacedMethod(method, inspection)

    @functools.wraps(method, updated=())
    def call(*args: Any, **kwargs: Any) -> Any:
        return replaced(*args, **kwargs)

    return call


def _methods(cls: type) -> Iterator[tuple[str, Any]]:
    """The ``__call__`` of a class, and all methods that are not Flax's or ours."""
    names = {
        name
        for each in cls.__mro__
        if is_clients(each)
        for name in vars(each)
        if not name.startswith("__")
    }
    for name in sorted(names | {"__call__"}):
        found = (vars(each)[name] for each in cls.__mro__ if name in vars(each))
        method = next(found, None)
        if _is_method(method):
            yield name, method


def _is_method(value: Any) -> bool:
    """Whether a class attribute is a method whose body runs while it is called."""
    if isinstance(value, type | staticmethod | classmethod) or not callable(value):
        return False
    function = inspect.unwrap(value)
    runs_later = inspect.isgeneratorfunction(function) or inspect.iscoroutinefunction(function)
    return hasattr(type(value), "__get__") and not runs_later


def is_clients(cls: type) -> bool:
    """Whether a class is neither Flax's nor ours, nor one of Python's."""
    return cls.__module__.split(".")[0] not in ("flax", "flaxnoise", "builtins", "typing", "abc")


class _Quiet:
    """Comes before the client's class in the order of methods, whose __init_subclass__ is not run.

    That may keep a registry of subclasses by name, or ask for arguments.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Runs Flax's own ``__init_subclass__``, which registers the class as a node of graphs."""
        nnx.Module.__init_subclass__.__func__(cls, **kwargs)


def _derived(cls: type, bases: tuple[type, ...], methods: dict[str, Any], made_by: Any) -> type:
    namespace = {name: vars(cls).get(name) for name in ("__module__", "__qualname__", "__doc__")}
    namespace |= {"__qualname__": cls.__qualname__, _MADE_BY: made_by, **methods}
    is_pytree = getattr(cls, "_pytree__is_pytree", True)
    metaclass: Any = _metaclass(type(cls))
    return metaclass(cls.__name__, bases, namespace, pytree=is_pytree)


def _order(self: Any) -> list[type]:
    """The order of methods of a class, with _Quiet second.

    As a base it would change the layout of instances.
    """
    own, *others = type.mro(self)
    return [own, _Quiet, *others]


class _Derived(type(nnx.Module)):
    """The metaclass of the classes made here."""

    mro = _order


@functools.cache
def _metaclass(metaclass: type) -> type:
    """A metaclass whose classes are pickled as calls of the function that made them.

    They are not attributes of a module, by which pickle finds other classes.
    """
    ours = _Derived
    if metaclass is not type(nnx.Module):
        ours = type(
            metaclass.__name__, (metaclass,), {"__module__": metaclass.__module__, "mro": _order}
        )
    register: Any = copyreg.pickle
    register(ours, _reduced)
    return ours


def _reduced(cls: type) -> tuple[Callable[..., type], tuple[Any, ...]]:
    return vars(cls)[_MADE_BY]
