"""Flax's attention function with dropout by flaxnoise."""

import inspect
from typing import Any

import jax
from flax import nnx

from flaxnoise import replacement


def dot_product_attention(*args: Any, **kwargs: Any) -> jax.Array:
    """flax.nnx.dot_product_attention with dropout by flaxnoise, usable as attention_fn.

    Args:
        *args: positional arguments of Flax's function; dropout_rate may be traced, and may be 1.
        **kwargs: keyword arguments of Flax's function.

    Returns:
        What Flax's function returns; without dropout, bit for bit.
    """
    function = nnx.dot_product_attention
    return replacement.dot_product_attention(function, replacement.replaced, args, kwargs)


vars(dot_product_attention)["__signature__"] = inspect.signature(nnx.dot_product_attention)
