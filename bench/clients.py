"""Models of Hugging Face transformers for the suite models: a small BERT and a small GPT-2."""

import functools
import importlib.metadata
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bench import text

WIDTH, HEADS, BLOCKS, LENGTH, STEPS = 128, 2, 2, 128, 8  # BERT's smallest published size
# The temporaries of a step then take more than 32 MiB in every variant. Up to that size glibc's
# malloc keeps their memory for the next step; only variants above it would pay for page faults.
BATCH = 12
RATE = 0.1
MASKED = 0.15  # share of the characters that BERT has to guess


def missing() -> str | None:
    """Why the models of transformers are missing, or None."""
    try:
        version = importlib.metadata.version("transformers")
    except importlib.metadata.PackageNotFoundError:
        return "transformers is not installed (its last version with Flax models is 4.57)"
    return None if version < "5" else f"transformers {version} has no Flax models"


class Client:
    """A model of transformers with the methods that a task's model has."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def init(self, key: jax.Array, inputs: Any, deterministic: bool) -> Any:
        """A copy of the parameters that the package has initialised; a training step donates it."""
        del key, inputs, deterministic
        return jax.tree.map(jnp.copy, self._model.params)

    def apply(self, params: Any, inputs: jax.Array, deterministic: bool, rngs: Any) -> jax.Array:
        key = None if rngs is None else rngs["dropout"]
        model = self._model
        return model(inputs, params=params, train=not deterministic, dropout_rng=key).logits


@functools.cache
def characters() -> tuple[np.ndarray, np.ndarray, int]:
    """Returns ids[steps, batch, length], those that follow them, and the size of the alphabet."""
    ids, vocabulary = text.characters(STEPS * BATCH * (LENGTH + 1))
    ids = ids.reshape(STEPS, BATCH, LENGTH + 1)
    return ids[..., :-1], ids[..., 1:], vocabulary


def bert() -> tuple[Client, np.ndarray, np.ndarray]:
    """A masked language model: the model, its inputs and its labels."""
    from transformers import BertConfig, FlaxBertForMaskedLM

    ids, _, vocabulary = characters()
    config = BertConfig(
        vocab_size=vocabulary + 1,
        hidden_size=WIDTH,
        num_hidden_layers=BLOCKS,
        num_attention_heads=HEADS,
        intermediate_size=4 * WIDTH,
        max_position_embeddings=LENGTH,
        hidden_dropout_prob=RATE,
        attention_probs_dropout_prob=RATE,
    )
    hidden = np.random.default_rng(0).random(ids.shape) < MASKED
    model = _quiet(FlaxBertForMaskedLM, config)
    return Client(model), np.where(hidden, vocabulary, ids).astype(np.int32), ids


def gpt2() -> tuple[Client, np.ndarray, np.ndarray]:
    """A language model: the model, its inputs and its labels."""
    from transformers import FlaxGPT2LMHeadModel, GPT2Config

    ids, following, vocabulary = characters()
    config = GPT2Config(
        vocab_size=vocabulary,
        n_embd=WIDTH,
        n_layer=BLOCKS,
        n_head=HEADS,
        n_positions=LENGTH,
        embd_pdrop=RATE,
        attn_pdrop=RATE,
        resid_pdrop=RATE,
    )
    return Client(_quiet(FlaxGPT2LMHeadModel, config)), ids, following


def _quiet(model: Any, config: Any) -> Any:
    with warnings.catch_warnings():  # of deprecated Flax models
        warnings.simplefilter("ignore")
        return model(config, seed=0, input_shape=(1, LENGTH))
