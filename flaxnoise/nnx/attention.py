"""Flax's attention function with our dropout."""

import inspect
from typing import Any

import jax
from flax import nnx

from flaxnoise import replacement


def dot_product_attention(*args: Any, **kwargs: Any) -> jax.Array:
    """flax.nnx.dot_product_attention with our dropout; an attention_fn for MultiHeadAttention.

    Args:
        *args: as those of Flax's function; dropout_rate may be traced, and may be 1.
        **kwargs: likewise.

    Returns:
        What Flax's function returns; where it draws nothing, bit for bit.
    """
    function = nnx.dot_product_attention
    return replacement.dot_product_attention(function, replacement.replaced, args, kwargs)


vars(dot_product_attention)["__signature__"] = inspect.signature(nnx.dot_product_attention)
