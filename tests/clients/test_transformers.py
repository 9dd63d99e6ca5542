"""Flax models of Hugging Face transformers: all of their dropout is replaced."""

import importlib.metadata
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flaxnoise
from cases import KEY
from every import every
from flaxnoise.linen import replace_dropout

try:
    VERSION = importlib.metadata.version("transformers")
except importlib.metadata.PackageNotFoundError:
    VERSION = ""

pytestmark = [
    # Later versions have no Flax models.
    pytest.mark.skipif(not VERSION.startswith("4.5"), reason="no transformers 4.5x is installed"),
    # The package itself warns at import and in calls.
    pytest.mark.filterwarnings("default"),
]

IDS = jnp.arange(14).reshape(2, 7)
SMALL = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 3, "vocab_size": 99}


def bert():
    from transformers import BertConfig, FlaxBertModel  # pyright: ignore[reportMissingImports]

    config = BertConfig(**SMALL, intermediate_size=48, max_position_embeddings=16)
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.1
    return FlaxBertModel(config, seed=0, input_shape=(1, 7))


def gpt2():
    from transformers import FlaxGPT2Model, GPT2Config  # pyright: ignore[reportMissingImports]

    config = GPT2Config(n_embd=24, n_layer=1, n_head=3, vocab_size=99, n_positions=16)
    return FlaxGPT2Model(config, seed=0, input_shape=(1, 7))


@every(("make", "draws"), [(bert, 4), (gpt2, 4)])
def test_all_dropout_becomes_ours_and_evaluation_stays(make, draws: int):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = make()

    def call(params, train=True):
        rngs = {"dropout_rng": KEY} if train else {}
        return model(IDS, params=params, train=train, **rngs)[0]

    ours = replace_dropout(call, strict=True)
    theirs = flaxnoise.dropouts(call, model.params)
    assert [draw.computed_by for draw in theirs] == ["flax"] * draws
    replaced = flaxnoise.dropouts(ours, model.params)
    assert [draw.computed_by for draw in replaced] == ["flaxnoise"] * draws
    assert {draw.function for draw in replaced} == {"dropout", "attention_dropout"}
    apply = jax.jit(call, static_argnums=1)
    y, of_flax = replace_dropout(apply)(model.params, True), apply(model.params, True)
    assert jnp.isfinite(y).all()
    assert not np.array_equal(y, of_flax)
    calm = replace_dropout(apply)(model.params, False)
    np.testing.assert_array_equal(calm, apply(model.params, False))
    gradient = jax.jit(jax.grad(lambda params: ours(params).sum()))(model.params)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
