"""Dropout of attention weights: of an array of weights, and inside tiled attention."""

from flaxnoise.functional.attention.batched import batched_attention as batched_attention
from flaxnoise.functional.attention.dot_product import (
    dot_product_attention as dot_product_attention,
)
from flaxnoise.functional.attention.weights import attention_dropout as attention_dropout
