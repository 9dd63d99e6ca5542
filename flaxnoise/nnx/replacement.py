"""Our dropout in models that were written with Flax's."""

import functools
import inspect
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx
from flax.nnx.nn.attention import dot_product_attention_weights

from flaxnoise import functional
from flaxnoise.nnx.dropout import Dropout

Model = TypeVar("Model")

_SIGNATURE = inspect.signature(nnx.dot_product_attention)


def replace_dropout(model: Model) -> Model:
    """Puts our Dropout in the place of every flax.nnx.Dropout of a model.

    Changes the model itself; streams, flags and parameters stay. MultiHeadAttention gets our
    attention function, unless it has another one than Flax's. Subclasses of Flax's Dropout stay as
    they are.

    Args:
        model: a flax.nnx.Module.

    Returns:
        The model; or, if it is a Dropout, the one that takes its place.

    Example:
        >>> from flax import nnx
        >>> rngs = nnx.Rngs(0)
        >>> model = nnx.Sequential(nnx.Linear(129, 5, rngs=rngs), nnx.Dropout(0.5, rngs=rngs))
        >>> y = flaxnoise.nnx.replace_dropout(model)(x)
    """
    done: dict[int, Dropout] = {}
    if type(model) is nnx.Dropout:
        return _ours(model, done)  # pyright: ignore[reportReturnType]
    for _, node in list(nnx.iter_graph(model)):
        if isinstance(node, nnx.Module) and vars(node).get("attention_fn") is (
            nnx.dot_product_attention
        ):
            vars(node)["attention_fn"] = dot_product_attention
        attributes = node if isinstance(node, list | dict) else getattr(node, "__dict__", {})
        entries = enumerate(attributes) if isinstance(attributes, list) else attributes.items()
        for name, value in list(entries):
            ours = _replaced(value, done)
            if ours is not value:
                attributes[name] = ours
    return model


@functools.wraps(nnx.dot_product_attention)
def dot_product_attention(*args: Any, **kwargs: Any) -> jax.Array:
    """flax.nnx.dot_product_attention with our dropout; an attention_fn for MultiHeadAttention."""
    call = _SIGNATURE.bind(*args, **kwargs).arguments
    rate = call.pop("dropout_rate", 0.0)
    key = call.pop("dropout_rng", None)
    shared = call.pop("broadcast_dropout", True)
    if call.pop("deterministic", False) or (isinstance(rate, int | float) and rate == 0):
        return nnx.dot_product_attention(**call)
    value = call.pop("value")
    weights = dot_product_attention_weights(**call, deterministic=True)
    weights = functional.attention_dropout(key, weights, rate, broadcast_dropout=shared)
    # Groups of query heads share a head of values.
    value = jnp.repeat(value, weights.shape[-3] // value.shape[-2], axis=-2)
    einsum = functools.partial(jnp.einsum, precision=call.get("precision"))
    return einsum("...hqk,...khd->...qhd", weights, value.astype(weights.dtype))


def _replaced(value: Any, done: dict[int, Dropout]) -> Any:
    """Our Dropout for one of Flax's, and a tuple with ours in it for one with Flax's."""
    if type(value) is nnx.Dropout:
        return _ours(value, done)
    if not isinstance(value, tuple):
        return value
    entries = [_replaced(entry, done) for entry in value]
    if all(new is old for new, old in zip(entries, value, strict=True)):
        return value
    return type(value)(*entries) if hasattr(value, "_fields") else tuple(entries)


def _ours(dropout: nnx.Dropout, done: dict[int, Dropout]) -> Dropout:
    if id(dropout) not in done:
        ours = Dropout(
            dropout.rate,
            broadcast_dims=dropout.broadcast_dims,
            deterministic=dropout.deterministic,
            rng_collection=dropout.rng_collection,
        )
        ours.rngs = dropout.rngs
        done[id(dropout)] = ours
    return done[id(dropout)]
