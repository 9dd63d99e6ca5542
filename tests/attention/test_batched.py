"""Arrays as Flax's layers have them: any number of batch dimensions, masks of any dtype."""

import flax.linen
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

import flaxnoise
from attention_cases import KEY, normal
from every import every
from flaxnoise.functional.attention import batched_attention

# Sums of at most 8 products of numbers below 16, in different order.
SUMS = 8 * 16 * 2.0**-24


@every("shared", [True, False])
@every(
    ("batch", "bias", "mask"),
    [
        ((), (5, 7), (3, 5, 7)),
        ((2,), (2, 3, 5, 7), (2, 1, 1, 7)),
        ((2, 3), (1, 1, 3, 5, 7), (2, 3, 1, 5, 7)),
        ((2, 3), (3, 1, 5, 7), (1, 3, 1, 1, 7)),
    ],
    ids=str,
)
def test_as_flax_with_attention_dropout(batch, bias, mask, shared: bool):
    q, k, v = normal(*batch, 5, 3, 8), normal(*batch, 7, 3, 8, seed=1), normal(*batch, 7, 3, 8)
    bias = normal(*bias, seed=3)
    # A numeric mask, as from Flax's make_causal_mask; every query attends to the first key.
    mask = jnp.asarray(np.random.default_rng(4).random(mask) < 0.6, jnp.float32).at[..., 0].set(1)
    weights = flax.linen.dot_product_attention_weights(q, k, bias=bias, mask=mask)
    weights = flaxnoise.attention_dropout(KEY, weights, 0.3, broadcast_dropout=shared)
    expected = jnp.einsum("...nts,...snd->...tnd", weights, v)
    y = batched_attention(KEY, q, k, v, 0.3, bias=bias, mask=mask, broadcast_dropout=shared)
    np.testing.assert_allclose(y, expected, rtol=0, atol=SUMS)


def test_mistakes_are_named():
    q = normal(2, 3, 5, 2, 8)
    with pytest.raises(
        ValueError, match=r"^dot_product_attention: keys must have the batch \(2, 3"
    ):
        batched_attention(KEY, q, q[:1], q, 0.3)
    with (
        flaxnoise.local_shard(PartitionSpec()),
        pytest.raises(ValueError, match="one batch dimension at most under local_shard"),
    ):
        batched_attention(KEY, q, q, q, 0.3)
