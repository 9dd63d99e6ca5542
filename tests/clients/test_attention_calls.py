"""Attention of long sequences that is called as a function holds no weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx
from flax.linen import attention as linen_attention

import flaxnoise
import flaxnoise.nnx
from cases import KEY, array

RATE = 0.3


@pytest.mark.parametrize("api", [nn, nnx])
@pytest.mark.parametrize("shared", [True, False])
def test_attention_called_as_a_function_holds_no_weights_of_long_sequences(api, shared: bool):
    length = 512
    q = array(1, length, 2, 4)
    causal = nn.make_causal_mask(jnp.ones((1, length)))

    def attend(q, sow=False):
        return api.dot_product_attention(
            *(q, q, q),
            mask=causal,
            dropout_rng=KEY,
            dropout_rate=RATE,
            broadcast_dropout=shared,
            **({"precision": "highest"} if sow else {}),
        )

    ours = flaxnoise.nnx.replace_dropout(attend, strict=True)
    (draw,) = {draw.function for draw in flaxnoise.dropouts(ours, q)}
    (whole,) = {draw.function for draw in flaxnoise.dropouts(ours, q, True)}
    assert (draw, whole) == ("dot_product_attention", "attention_dropout")
    short, long = (
        jax.jit(function).lower(q).compile().memory_analysis().temp_size_in_bytes
        for function in (ours, attend)
    )
    assert short < long / 2
    # Sums over the length in another order: weights that sum to 1.5 at most, values below 4.
    np.testing.assert_allclose(ours(q), ours(q, True), rtol=0, atol=length * 2.0**-22)


def test_weights_that_a_client_asks_for_are_arrays():
    q = array(1, 512, 2, 4)

    @flaxnoise.nnx.replace_dropout
    def attend(q):
        options = {"dropout_rng": KEY, "dropout_rate": RATE}
        return linen_attention.dot_product_attention_weights(q, q, **options)

    weights = attend(q)
    assert isinstance(weights, jax.Array)
    assert weights.shape == (1, 2, 512, 512)
