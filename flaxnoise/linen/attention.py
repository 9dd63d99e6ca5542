"""Flax's attention function with dropout by flaxnoise."""

import inspect
from typing import Any

import jax
from flax import linen as nn

from flaxnoise import replacement


def dot_product_attention(*args: Any, **kwargs: Any) -> jax.Array:
    """flax.linen.dot_product_attention with dropout by flaxnoise, usable as attention_fn.

    Args:
        *args: positional arguments of Flax's function; dropout_rate may be traced, and may be 1.
        **kwargs: keyword arguments of Flax's function.

    Returns:
        What Flax's function returns; without dropout, bit for bit.
    """
    function = nn.dot_product_attention
    return replacement.dot_product_attention(function, replacement.replaced, args, kwargs)


# Flax's modules inspect the signature of an attention_fn.
vars(dot_product_attention)["__signature__"] = inspect.signature(nn.dot_product_attention)
