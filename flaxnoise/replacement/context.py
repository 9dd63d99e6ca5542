"""The context in which Flax's dropout is computed by flaxnoise.

Flax draws dropout in three places: in ``__call__`` of linen's and of nnx's Dropout, and in the
attention functions, which look up ``random`` in their own module. An interceptor
reaches linen's Dropout and attention layers. The other two are patched as long as any thread is in
the context, and the patches check whether the current thread is.
"""

import contextlib
import functools
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any

import flax.linen.attention
import flax.nnx.nn.attention
import jax
from flax import linen, nnx

from flaxnoise.replacement.attention import Mask, dot_product_attention
from flaxnoise.replacement.dropout import call_dropout

# Whether this thread is in the context. A user context is part of jax's cache keys, so that no
# function traced outside of the context is reused inside, or vice versa.
_active = jax.make_user_context(default_value=False)
_seen = threading.local()
_lock = threading.Lock()
_entered = 0
_originals: list[tuple[Any, str, Any, Any]] = []
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
    modules = (flax.linen.attention, flax.nnx.nn.attention)
    # Without this name, attention draws in some other way, which is left alone.
    drawing = [module for module in modules if vars(module).get("random") is jax.random]
    return [
        *((module, "random", _drawing_masks) for module in drawing),
        (nnx.Dropout, "__call__", _calling_ours),
    ]


def _drawing_masks(random: types.ModuleType) -> types.ModuleType:
    """A copy of jax.random whose bernoulli returns a Mask."""
    module = types.ModuleType(random.__name__)
    vars(module).update(vars(random))

    @functools.wraps(random.bernoulli)
    def bernoulli(key: Any, p: Any = 0.5, shape: Any = None, *args: Any, **kwargs: Any) -> Any:
        if not _active.value:
            return random.bernoulli(key, p, shape, *args, **kwargs)
        _saw("attention")
        return Mask(key, 1 - p, shape)

    vars(module)["bernoulli"] = bernoulli
    return module


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
