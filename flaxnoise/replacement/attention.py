"""Replaces the dropout in Flax's attention functions by flaxnoise."""

import contextlib
import functools
import inspect
import threading
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen, nnx

from flaxnoise import arguments, functional, random

# From this many weights per head, tiled attention is as fast as forming the weights.
_LONG = 512 * 512
# Least bias, used for −inf: the weight of such a key is 0, except in a row of such keys only, whose
# weights are all equal. The same holds in Flax, which uses the smallest number of the dtype.
_HIDDEN = -1e29
_UNDERSTOOD = {
    *("query", "key", "value", "bias", "mask", "dtype", "is_causal", "deterministic"),
    *("broadcast_dropout", "dropout_rng", "dropout_rate"),
}
_FUNCTIONS = (linen.dot_product_attention, nnx.dot_product_attention)
_WEIGHTED_SUM = "...hqk,...khd->...qhd"  # how Flax's dot_product_attention uses the weights
_given = threading.local()


class Mask:
    """Replaces the boolean mask in Flax's attention; multiplying weights by it drops them.

    Flax computes ``weights · (keep.astype(dtype) / keep_prob)``. This object takes the place of
    ``keep`` and of both intermediate results, so that the product calls
    ``flaxnoise.attention_dropout``, which scales by the realised rate and stores no mask for the
    backward pass. Its attributes are those of the array of booleans; other
    arithmetic on it raises TypeError.
    """

    def __init__(self, key: jax.Array, rate: Any, shape: tuple[int, ...]) -> None:
        self._key = key
        self._rate = getattr(_given, "rate", rate)
        self._shape = tuple(shape)

    def astype(self, dtype: Any) -> "Mask":
        """Returns the mask itself, as the product has the dtype of the weights."""
        return self

    def __truediv__(self, keep_prob: Any) -> "Mask":
        return self

    def __rmul__(self, weights: jax.Array) -> jax.Array:
        _given.drawn = True
        shared = self._shape != weights.shape
        return functional.attention_dropout(
            self._key, weights, self._rate, broadcast_dropout=shared
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # jax would prefer __jax_array__ to __rmul__
            raise AttributeError(name)
        return getattr(random.keep_mask(self._key, self._shape, self._rate), name)


def is_attention(value: Any) -> bool:
    """Whether a value is one of Flax's attention functions that apply dropout."""
    return any(value is function for function in _FUNCTIONS)


def dot_product_attention(
    function: Callable[..., Any],
    context: Callable[[], contextlib.AbstractContextManager[Any]],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> jax.Array:
    """Calls one of Flax's attention functions with dropout by flaxnoise.

    For long sequences, ``flaxnoise.dot_product_attention`` computes the result with the same mask
    and without an array of all weights, unless an argument asks for something that it does not
    support, such as a precision.

    Args:
        function: attention function of linen or nnx.
        context: context manager within which flaxnoise makes Flax's draws.
        args: positional arguments of the function.
        kwargs: keyword arguments of the function.

    Returns:
        What the function returns. Without dropout, Flax's function computes it unchanged.
    """
    call = _signature(function).bind(*args, **kwargs)
    rate = call.arguments.get("dropout_rate", 0.0)
    if not _drops(call):
        return function(*args, **kwargs)
    arguments.rate("dot_product_attention", rate, ())
    if (y := _without_weights(call, call.arguments["value"])) is not None:
        return y
    # Flax accepts no traced rate and no rate 1; Mask takes the real one from _rate.
    call.arguments["dropout_rate"] = 0.5
    with _rate(rate), context():
        y = function(*call.args, **call.kwargs)
        if not _given.drawn:
            raise RuntimeError(
                "dot_product_attention: this version of Flax draws in a way unknown to flaxnoise."
            )
    return y


class Postponed:
    """The weights of a call, formed only if more than the weighted sum of values is asked for.

    Args:
        function: Flax's dot_product_attention_weights.
        call: its arguments.
    """

    def __init__(self, function: Callable[..., Any], call: inspect.BoundArguments) -> None:
        self._function, self._call = function, call
        query, key = (call.arguments[name].shape for name in ("query", "key"))
        self.shape = (*query[:-3], query[-2], query[-3], key[-3])

    def times(
        self, einsum: Callable[..., jax.Array], subscripts: str, value: Any, **options: Any
    ) -> jax.Array:
        """The weighted sum of values, if possible without forming the weights."""
        if "".join(subscripts.split()) == _WEIGHTED_SUM:
            y = _without_weights(self._call, value)
            if y is not None:
                return y
        return einsum(subscripts, self._formed, value, **options)

    @functools.cached_property
    def _formed(self) -> jax.Array:
        return self._function(*self._call.args, **self._call.kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._formed, name)


def postponed(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Postponed | None:
    """The weights for Flax's dot_product_attention, or None if it has to form them.

    Args:
        function: Flax's dot_product_attention_weights.
        args: its positional arguments.
        kwargs: its keyword arguments.
    """
    if hasattr(_given, "rate"):  # in the call of Flax's function above, which has decided already
        return None
    call = _signature(function).bind(*args, **kwargs)
    if not _drops(call) or _understood(call, call.arguments["key"]) is None:
        return None
    return Postponed(function, call)


def _drops(call: inspect.BoundArguments) -> bool:
    """Whether Flax's function applies dropout."""
    given = call.arguments
    return not (given.get("deterministic") or arguments.is_zero(given.get("dropout_rate", 0.0)))


def _understood(call: inspect.BoundArguments, value: Any) -> list[Any] | None:
    """Query, key and value of long sequences, or None if our function is not equivalent."""
    given, defaults = call.arguments, call.signature.parameters
    if any(
        own is not defaults[name].default for name, own in given.items() if name not in _UNDERSTOOD
    ):
        return None
    arrays = [given["query"], given["key"], value]
    if given.get("dtype") is not None:
        arrays = [jnp.asarray(array, given["dtype"]) for array in arrays]
    query, key, value = arrays
    if (
        query.ndim != 4
        or not query.dtype == key.dtype == value.dtype
        or not query.shape[-2] == key.shape[-2] == value.shape[-2]
        or query.shape[1] * key.shape[1] < _LONG
        or (given.get("is_causal", False) and given.get("mask") is not None)
    ):
        return None
    return arrays


def _without_weights(call: inspect.BoundArguments, value: Any) -> jax.Array | None:
    """flaxnoise.dot_product_attention, or None if it is not equivalent or sequences are short."""
    arrays = _understood(call, value)
    if arrays is None:
        return None
    query, key, value = arrays
    given = call.arguments
    bias, mask = given.get("bias"), given.get("mask")
    if bias is not None:
        bias = jnp.maximum(jnp.asarray(bias, jnp.promote_types(bias.dtype, jnp.float32)), _HIDDEN)
    if mask is not None:
        # In Flax, a query that sees no key gets the mean of all values, and no gradient through its
        # scores. So does a query of zeros that sees every key.
        mask = jnp.atleast_1d(jnp.asarray(mask) != 0)
        sees = mask.any(-1, keepdims=True)
        mask = mask | ~sees
        bias = None if bias is None else jnp.where(sees, bias, 0)
        by_query = jnp.swapaxes(sees.reshape((1,) * (4 - sees.ndim) + sees.shape), 1, 2)
        query = jnp.where(by_query, query, 0)
    return functional.dot_product_attention(
        given.get("dropout_rng"),
        query,
        key,
        value,
        given["dropout_rate"],
        bias=bias,
        mask=mask,
        is_causal=given.get("is_causal", False),
        broadcast_dropout=given.get("broadcast_dropout", True),
    )


@contextlib.contextmanager
def _rate(rate: Any) -> Iterator[None]:
    outer = dict(vars(_given))
    _given.rate, _given.drawn = rate, False
    try:
        yield
    finally:
        vars(_given).clear()
        vars(_given).update(outer)


@functools.cache
def _signature(function: Callable[..., Any]) -> inspect.Signature:
    return inspect.signature(function)
