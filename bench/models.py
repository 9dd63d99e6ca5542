"""The suite models: training steps without dropout, with Flax's under several keys, with ours."""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

import flaxnoise.linen
from bench import clients, text
from bench.contenders import DEFAULT_KEY, KEYS
from bench.measure import Contender, Program, Record, Row, Setting, WrongError
from bench.programs import blocking, compiled

WIDTH, HEADS, BLOCKS, SEQUENCE = 128, 4, 2, 128  # of the transformer
RATE = 0.1
STEPS = 40  # in which the loss must fall


class Mlp(nn.Module):
    """Three dense layers for scikit-learn's digits: 64 → 1024 → 1024 → 10."""

    @nn.compact
    def __call__(self, x: jax.Array, deterministic: bool) -> jax.Array:
        for _ in range(2):
            x = nn.Dropout(0.5)(nn.relu(nn.Dense(1024)(x)), deterministic)
        return nn.Dense(10)(x)


class Transformer(nn.Module):
    """Blocks of Flax's attention with dropout on embeddings, attention weights and branches."""

    vocabulary: int
    length: int = SEQUENCE

    @nn.compact
    def __call__(self, ids: jax.Array, deterministic: bool) -> jax.Array:
        def drop(x: jax.Array) -> jax.Array:
            return nn.Dropout(RATE)(x, deterministic)

        positions = self.param("positions", nn.initializers.normal(0.02), (self.length, WIDTH))
        x = drop(nn.Embed(self.vocabulary, WIDTH)(ids) + positions)
        mask = nn.make_causal_mask(ids)
        for _ in range(BLOCKS):
            attention = nn.MultiHeadDotProductAttention(
                HEADS, dropout_rate=RATE, broadcast_dropout=False
            )
            x = x + drop(attention(nn.LayerNorm()(x), mask=mask, deterministic=deterministic))
            hidden = nn.gelu(nn.Dense(4 * WIDTH)(nn.LayerNorm()(x)))
            x = x + drop(nn.Dense(WIDTH)(hidden))
        return nn.Dense(self.vocabulary)(nn.LayerNorm()(x))


class Task(NamedTuple):
    """A model and its training data: inputs[steps, batch, …] and labels."""

    name: str
    model: Any  # with init and apply of a linen module
    inputs: np.ndarray
    labels: np.ndarray


@functools.cache
def digits() -> Task:
    from sklearn.datasets import load_digits

    data: Any = load_digits()
    images = (data.data[:1792] / 16).astype(np.float32).reshape(7, 256, 64)
    return Task("mlp on digits", Mlp(), images, data.target[:1792].reshape(7, 256))


@functools.cache
def words(batch: int = 8, length: int = SEQUENCE) -> Task:
    steps = 8
    ids, vocabulary = text.characters(steps * batch * (length + 1))
    ids = ids.reshape(steps, batch, length + 1)
    model = Transformer(vocabulary, length)
    return Task("transformer on text", model, ids[..., :-1], ids[..., 1:])


def bert() -> Task:
    return Task("BERT of transformers", *clients.bert())


def gpt2() -> Task:
    return Task("GPT-2 of transformers", *clients.gpt2())


TASKS: dict[str, Callable[[], Task]] = {
    "mlp on digits": digits,
    "transformer on text": words,
    "BERT of transformers": bert,
    "GPT-2 of transformers": gpt2,
}


class Trainer:
    """A model in training.

    Args:
        task: the model and its data.
        key: the key of the dropout stream; None for no dropout.
        replaced: whether flaxnoise.linen.replace_dropout is applied.
    """

    def __init__(self, task: Task, key: jax.Array | None, replaced: bool = False) -> None:
        apply: Any = task.model.apply
        if replaced:
            apply = flaxnoise.linen.replace_dropout(apply)
        optimiser = optax.adam(1e-3)
        params = task.model.init(jax.random.key(0), task.inputs[0], deterministic=True)
        self.batches = (jnp.asarray(task.inputs), jnp.asarray(task.labels))

        def step(batches: Any, held: Any) -> Any:
            params, state, count = held
            inputs, labels = (values[count % len(values)] for values in batches)
            rngs = None if key is None else {"dropout": jax.random.fold_in(key, count)}

            def loss(params: Any) -> jax.Array:
                logits = apply(params, inputs, deterministic=key is None, rngs=rngs)
                return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

            value, gradient = jax.value_and_grad(loss)(params)
            updates, state = optimiser.update(gradient, state, params)
            return (optax.apply_updates(params, updates), state, count + 1), value

        self.step = step
        self.held = (params, optimiser.init(params), jnp.int32(0))

    def program(self) -> Program:
        facts: Record = {}
        train = compiled(self.step, (self.batches, self.held), facts, donate=True)

        def run() -> tuple[Any, jax.Array]:
            self.held, loss = train(self.batches, self.held)
            return self.held, loss

        return Program(blocking(run), lambda: check_learning(lambda: run()[1]), facts=facts)


def check_learning(step: Callable[[], Any]) -> None:
    """Raises WrongError unless the loss that ``step`` returns falls by a tenth in STEPS steps."""
    losses = [float(step()) for _ in range(STEPS)]
    first, last = losses[0], np.mean(losses[-5:])
    if not last < 0.9 * first:
        raise WrongError(f"the loss went from {first:.3f} to {last:.3f} in {STEPS} steps")


def contender(task: Task, library: str, variant: str) -> Contender:
    """A contender with no dropout ("none"), Flax's under a key ("flax.linen"), or "flaxnoise"."""

    def build(setting: Setting) -> Program:
        key = None if library == "none" else KEYS.get(variant, KEYS[DEFAULT_KEY])()
        return Trainer(task, key, replaced=library == "flaxnoise").program()

    return Contender(task.name, library, variant, build)


def row(task: Task, *others: tuple[str, str]) -> Row:
    """The row of a task: no dropout, and the dropout of each (library, variant)."""
    setting = Setting(task.inputs.shape[1:], direction="training step")
    return Row(setting, [contender(task, *names) for names in (("none", ""), *others)])


def rows(quick: bool, only: str) -> Iterator[Row]:
    """Yields the rows of the suite models."""
    others = (
        ("flax.linen", DEFAULT_KEY),
        ("flaxnoise", "replace_dropout"),
        ("flax.linen", "flaxnoise"),
    )
    for name, make in TASKS.items():
        if name.endswith("of transformers") and clients.missing():
            continue  # the run lists it as missing
        if only in name and not (quick and name != "mlp on digits"):
            yield row(make(), *others)


def key_row(keys: tuple[str, ...]) -> Row:
    """The row of the transformer with Flax's dropout under each key implementation."""
    return row(words(), *(("flax.linen", key) for key in keys))
