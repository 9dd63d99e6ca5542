"""Our dropout in models that were written with Flax's."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from flaxnoise import functional

_SIGNATURE = inspect.signature(nn.dot_product_attention)


def replace_dropout(function: Callable[..., Any]) -> Callable[..., Any]:
    """Makes a function run flax.linen.Dropout, wherever it calls it, as ``flaxnoise.dropout``.

    For models that cannot be changed: modules inside modules are reached as well, as is the dropout
    of MultiHeadDotProductAttention and its kin, unless they have another attention_fn than Flax's.
    Parameters and streams stay as they are. To be applied before jit: what was compiled already
    stays as it is.

    Args:
        function: such as ``model.apply`` or a training step.

    Returns:
        A function of the same arguments.

    Example:
        >>> from flax import linen
        >>> model = linen.Sequential([linen.Dense(5), linen.Dropout(0.5, deterministic=False)])
        >>> variables = model.init({"params": key, "dropout": key}, x)
        >>> apply = jax.jit(flaxnoise.linen.replace_dropout(model.apply))
        >>> y = apply(variables, x, rngs={"dropout": key})
    """

    @functools.wraps(function)
    def replaced(*args: Any, **kwargs: Any) -> Any:
        with nn.intercept_methods(_intercept):
            return function(*args, **kwargs)

    return replaced


@functools.wraps(nn.dot_product_attention)
def dot_product_attention(*args: Any, **kwargs: Any) -> jax.Array:
    """flax.linen.dot_product_attention with our dropout; an attention_fn for Flax's attention."""
    call = _SIGNATURE.bind(*args, **kwargs).arguments
    rate = call.pop("dropout_rate", 0.0)
    key = call.pop("dropout_rng", None)
    shared = call.pop("broadcast_dropout", True)
    if call.pop("deterministic", False) or (isinstance(rate, int | float) and rate == 0):
        return nn.dot_product_attention(**call, deterministic=True)
    # Flax applies a given einsum to the finished weights and the values: the place for dropout.
    options = {"precision": call.pop("precision", None)}
    dot_general = call.pop("einsum_dot_general", None)
    if dot_general is not None:
        options["_dot_general"] = dot_general
    einsum = functools.partial(jnp.einsum, **options)
    of_queries = call.pop("qk_attn_weights_einsum", None) or einsum
    of_values = call.pop("attn_weights_value_einsum", None) or einsum

    def dropping(formula: str, weights: jax.Array, value: jax.Array, **rest: Any) -> jax.Array:
        weights = functional.attention_dropout(key, weights, rate, broadcast_dropout=shared)
        return of_values(formula, weights, value, **rest)

    return nn.dot_product_attention(
        **call,
        deterministic=True,
        qk_attn_weights_einsum=of_queries,
        attn_weights_value_einsum=dropping,
    )


def _intercept(
    call: Callable[..., Any], args: Any, kwargs: Any, context: nn.module.InterceptorContext
) -> Any:
    module = context.module
    if context.method_name != "__call__":
        return call(*args, **kwargs)
    if type(module) is nn.Dropout:
        return _dropout(module, *args, **kwargs)
    if getattr(module, "attention_fn", None) is nn.dot_product_attention:
        # The module is a bound copy, made for this apply; it is as it was afterwards.
        vars(module)["attention_fn"] = dot_product_attention
        try:
            return call(*args, **kwargs)
        finally:
            vars(module)["attention_fn"] = nn.dot_product_attention
    return call(*args, **kwargs)


def _dropout(
    module: nn.Dropout,
    inputs: jax.Array,
    deterministic: bool | None = None,
    rng: jax.Array | None = None,
) -> jax.Array:
    if nn.merge_param("deterministic", module.deterministic, deterministic):
        return inputs
    # As Flax: the ends touch no stream.
    if isinstance(module.rate, int | float) and module.rate in (0, 1):
        key = jax.random.key(0)
    else:
        key = module.make_rng(module.rng_collection) if rng is None else rng
    return functional.dropout(key, inputs, module.rate, broadcast_dims=module.broadcast_dims)
