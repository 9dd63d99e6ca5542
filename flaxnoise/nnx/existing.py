"""Replaces Flax's dropout in the modules of an nnx model, in place."""

import functools
from collections.abc import Callable, Iterator, MutableMapping, MutableSequence
from typing import Any

from flax import nnx

from flaxnoise.nnx.attention import dot_product_attention
from flaxnoise.nnx.derived import (
    calling_class,
    clients_class,
    dropout_class,
    is_clients,
    is_derived,
)
from flaxnoise.nnx.dropout import Dropout
from flaxnoise.replacement import Inspection, Report, is_attention, replaced, tell
from flaxnoise.replacement.report import warn_of_nothing


def replace_in_model(
    model: nnx.Module, *, strict: bool, listener: Callable[[Report], object] | None
) -> None:
    """Replaces Flax's dropout in each module of a model; see ``replace_dropout``.

    Raises:
        ValueError: strict, and some dropout is not replaced.
    """
    done: list[str] = []
    left: list[str] = []
    has_ours = has_code = False
    nodes = list(nnx.iter_graph(model))
    for path, node in nodes:
        place = f"{type(node).__name__} at {'/'.join(map(str, path)) or 'the top'}"
        has_ours |= isinstance(node, Dropout)
        has_code |= isinstance(node, nnx.Module) and is_clients(type(node))
        has_code |= isinstance(node, nnx.Sequential)
        if _replace_class(node):
            done.append(place)
        elif _looks_like_dropout(node):
            left.append(place)
        for name, attention in list(_attention_functions(node)):
            if attention is None:
                has_code = True
            else:
                _entries(node)[name] = attention
                done.append(f"{name} of {place}")
    tell(Report(tuple(done), tuple(left)), strict=strict, listener=listener)
    is_empty = not (done or has_ours)
    for _, node in nodes:
        if node is not model:
            _replace_calls(node, None)
    _replace_calls(model, Inspection(strict, listener, warns=is_empty))
    if is_empty and not has_code:
        warn_of_nothing(f"the layers of {type(model).__name__}")


class ToNNX(nnx.bridge.ToNNX):
    """nnx.bridge.ToNNX that replaces Flax's dropout by flaxnoise within its call."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the linen module; arguments as in Flax."""
        with replaced():
            return super().__call__(*args, **kwargs)


def _replace_class(node: Any) -> bool:
    """Changes the class of a Flax dropout or bridge to our subclass; attributes do not change."""
    if isinstance(node, nnx.Dropout) and not isinstance(node, Dropout):
        if not _calls_flax(type(node)):
            return False
        ours = Dropout if type(node) is nnx.Dropout else dropout_class(type(node))
    elif type(node) is nnx.bridge.ToNNX:
        ours = ToNNX
    else:
        return False
    object.__setattr__(node, "__class__", ours)
    return True


def _calls_flax(cls: type) -> bool:
    """Whether each __call__ that overrides that of nnx.Dropout uses super()."""
    between = cls.__mro__[: cls.__mro__.index(nnx.Dropout)]
    calls = [vars(each)["__call__"] for each in between if "__call__" in vars(each)]
    return all("super" in getattr(call, "__code__", call).co_names for call in calls)


def _replace_calls(node: Any, inspection: Inspection | None) -> None:
    """Changes the class of a model, or of a client's module in it, to one that calls in context.

    Args:
        node: a node of the model's graph.
        inspection: what the methods of the model inspect; None for the modules in it.
    """
    if not isinstance(node, nnx.Module) or isinstance(node, nnx.Dropout):
        return
    cls = type(node)
    if inspection is not None and is_derived(cls):
        cls = clients_class(cls)
    if inspection is not None or (is_clients(cls) and not is_derived(cls)):
        object.__setattr__(node, "__class__", calling_class(cls, inspection or Inspection()))


def _attention_functions(node: Any) -> Iterator[tuple[Any, Any]]:
    """Names and replacements of a node's attention functions, None if one has no replacement."""
    entries = _entries(node)
    items = entries.items() if isinstance(entries, MutableMapping) else enumerate(entries)
    for name, value in items:
        if is_attention(value):
            yield name, dot_product_attention
        elif isinstance(value, functools.partial) and is_attention(value.func):
            yield name, functools.partial(dot_product_attention, *value.args, **value.keywords)
        elif name == "attention_fn" and not _is_ours(value) and getattr(node, "dropout_rate", 0):
            yield name, None


def _entries(node: Any) -> Any:
    if isinstance(node, MutableMapping | MutableSequence):
        return node
    return getattr(node, "__dict__", {})


def _is_ours(value: Any) -> bool:
    function = value.func if isinstance(value, functools.partial) else value
    return getattr(function, "__module__", "").startswith("flaxnoise.")


def _looks_like_dropout(node: Any) -> bool:
    """Whether a module is a Dropout that was not replaced, or a client's layer named like one."""
    if not isinstance(node, nnx.Module) or type(node).__module__.startswith("flaxnoise."):
        return False
    if isinstance(node, nnx.Dropout):
        return not isinstance(node, Dropout)
    name = type(node).__name__.casefold()
    words = ("dropout", "droppath", "drop_path", "dropblock", "stochasticdepth")
    inside = (part for _, part in nnx.iter_graph(node) if part is not node)
    return any(word in name for word in words) and not any(
        isinstance(part, nnx.Dropout) for part in inside
    )
