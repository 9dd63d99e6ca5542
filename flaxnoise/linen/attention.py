"""Flax's attention function with our dropout."""

import inspect
from typing import Any

import jax
from flax import linen as nn

from flaxnoise import replacement


def dot_product_attention(*args: Any, **kwargs: Any) -> jax.Array:
    """flax.linen.dot_product_attention with our dropout; an attention_fn for Flax's attention.

    Args:
        *args: as those of Flax's function; dropout_rate may be traced, and may be 1.
        **kwargs: likewise.

    Returns:
        What Flax's function returns; where it draws nothing, bit for bit.
    """
    function = nn.dot_product_attention
    return replacement.dot_product_attention(function, replacement.replaced, args, kwargs)


# Flax's modules ask it for the arguments that an attention_fn takes.
vars(dot_product_attention)["__signature__"] = inspect.signature(nn.dot_product_attention)
