"""The context in which Flax's dropout is computed by flaxnoise.

Flax draws dropout in three places: in ``__call__`` of linen's and of nnx's Dropout, and in the
attention functions, which look up ``random`` in their own module. An interceptor
reaches linen's Dropout and attention layers. The other two are patched as long as any thread is in
the context, and the patches check whether the current thread is. For long sequences, Flax's
``dot_product_attention`` gets a Postponed from ``dot_product_attention_weights`` and passes it to
``jnp.einsum``; both names are looked up in the module, too.
"""

import contextlib
import functools
import inspect
import sys
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any

import flax.linen.attention
import flax.nnx.nn.attention
import jax
import jax.numpy as jnp
from flax import linen, nnx

from flaxnoise.replacement.attention import Mask, Postponed, dot_product_attention, postponed
from flaxnoise.replacement.dropout import call_dropout

# Whether this thread is in the context. A user context is part of jax's cache keys, so that no
# function traced outside of the context is reused inside, or vice versa.
_active = jax.make_user_context(default_value=False)
_seen = threading.local()
_lock = threading.Lock()
_entered = 0
_originals: list[tuple[Any, str, Any, Any]] = []
_WEIGHTS, _SUM = "dot_product_attention_weights", "dot_product_attention"
# Subclasses that do not override __call__ have this same function.
_LINEN_CALL = getattr(linen.Dropout.__call__, "__wrapped__", None)


@contextlib.contextmanager
def replaced() -> Iterator[list[str]]:
    """Replaces Flax's dropout by flaxnoise; yields a list that collects the names of calls."""
    outer = getattr(_seen, "names", None)
    seen: list[str] = []
    _enter()
    try:
        _seen.names = seen
        with _active(True), linen.intercept_methods(_intercept):
            yield seen
    finally:
        _seen.names = outer
        if outer is not None:
            outer.extend(seen)
        _leave()


def _enter() -> None:
    global _entered
    with _lock:
        if _entered == 0:
            for owner, name, patch in _patches():
                original = vars(owner)[name]
                new = patch(original)
                setattr(owner, name, new)
                _originals.append((owner, name, original, new))
        _entered += 1


def _leave() -> None:
    global _entered
    with _lock:
        _entered -= 1
        while _entered == 0 and _originals:
            owner, name, original, new = _originals.pop()
            if vars(owner)[name] is new:  # otherwise patched by others in the meantime
                setattr(owner, name, original)


def _patches() -> list[tuple[Any, str, Callable[[Any], Any]]]:
    patches: list[tuple[Any, str, Callable[[Any], Any]]] = [
        (nnx.Dropout, "__call__", _calling_ours)
    ]
    for module in (flax.linen.attention, flax.nnx.nn.attention):
        names = vars(module)
        # Without this name, attention draws in some other way, which is left alone.
        if names.get("random") is not jax.random:
            continue
        patches.append((module, "random", _drawing_masks))
        if names.get("jnp") is jnp and {_WEIGHTS, _SUM} <= names.keys():
            code = getattr(inspect.unwrap(names[_SUM]), "__code__", None)
            patches.append((module, _WEIGHTS, functools.partial(_postponing, caller=code)))
            patches.append((module, "jnp", _summing))
    return patches


class _Module(types.ModuleType):
    """A module with the names of another one, except for those set here."""

    def __init__(self, original: types.ModuleType, **names: Any) -> None:
        super().__init__(original.__name__)
        vars(self).update(names, _original=original)

    def __getattr__(self, name: str) -> Any:
        return getattr(vars(self)["_original"], name)


def _drawing_masks(random: types.ModuleType) -> types.ModuleType:
    """jax.random whose bernoulli returns a Mask."""

    @functools.wraps(random.bernoulli)
    def bernoulli(key: Any, p: Any = 0.5, shape: Any = None, *args: Any, **kwargs: Any) -> Any:
        if not _active.value:
            return random.bernoulli(key, p, shape, *args, **kwargs)
        _saw("attention")
        return Mask(key, 1 - p, shape)

    return _Module(random, bernoulli=bernoulli)


def _postponing(weights: Callable[..., Any], caller: Any) -> Callable[..., Any]:
    """dot_product_attention_weights that returns a Postponed to Flax's dot_product_attention."""

    @functools.wraps(weights)
    def calling(*args: Any, **kwargs: Any) -> Any:
        # Other callers may do anything with the weights.
        if _active.value and sys._getframe(1).f_code is caller:
            later = postponed(weights, args, kwargs)
            if later is not None:
                _saw("attention")
                return later
        return weights(*args, **kwargs)

    return calling


def _summing(numpy: types.ModuleType) -> types.ModuleType:
    """jax.numpy whose einsum takes a Postponed."""

    @functools.wraps(numpy.einsum)
    def einsum(subscripts: Any, *operands: Any, **kwargs: Any) -> Any:
        if operands and isinstance(operands[0], Postponed):
            return operands[0].times(numpy.einsum, subscripts, *operands[1:], **kwargs)
        return numpy.einsum(subscripts, *operands, **kwargs)

    return _Module(numpy, einsum=einsum)


def _calling_ours(call: Callable[..., Any]) -> Callable[..., Any]:
    """nnx.Dropout.__call__ that computes dropout by flaxnoise."""

    @functools.wraps(call)
    def calling(self: nnx.Dropout, *args: Any, **kwargs: Any) -> Any:
        if not _active.value:
            return call(self, *args, **kwargs)
        _saw(type(self).__name__)
        return call_dropout(functools.partial(call, self), self, *args, **kwargs)

    return calling


def _intercept(call: Any, args: Any, kwargs: Any, context: linen.module.InterceptorContext) -> Any:
    module = context.module
    method = getattr(context.orig_method, "func", None)
    if method is _LINEN_CALL and isinstance(module, linen.Dropout):
        _saw("/".join(module.path))
        return call_dropout(call, module, *args, **kwargs)
    attention = vars(module).get("attention_fn")
    function = attention.func if isinstance(attention, functools.partial) else attention
    if context.method_name != "__call__" or function is not linen.dot_product_attention:
        return call(*args, **kwargs)
    _saw("/".join(module.path))
    ours = _linen_attention
    if isinstance(attention, functools.partial):
        ours = functools.partial(ours, *attention.args, **attention.keywords)
    # Mutates the module temporarily: it is a bound copy made for this apply.
    vars(module)["attention_fn"] = ours
    try:
        return call(*args, **kwargs)
    finally:
        vars(module)["attention_fn"] = attention


@functools.wraps(linen.dot_product_attention)
def _linen_attention(*args: Any, **kwargs: Any) -> jax.Array:
    return dot_product_attention(linen.dot_product_attention, replaced, args, kwargs)


def _saw(name: str) -> None:
    names = getattr(_seen, "names", None)
    if names is not None:
        names.append(name)
