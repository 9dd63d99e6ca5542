"""Whole models: a training step with Flax's dropout, with ours, and with none."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

import flaxnoise.linen
from bench import text
from bench.gate import WrongError
from bench.measure import Record, Told, timed
from bench.timing import interleaved, seconds

WIDTH, HEADS, BLOCKS, SEQUENCE = 128, 4, 2, 128  # of the transformer
RATE = 0.1
LIBRARIES = ("none", "flax.linen", "flaxnoise")


class Mlp(nn.Module):
    """On the digits that come with scikit-learn: 64 → 1024 → 1024 → 10."""

    @nn.compact
    def __call__(self, x: jax.Array, deterministic: bool) -> jax.Array:
        for _ in range(2):
            x = nn.Dropout(0.5)(nn.relu(nn.Dense(1024)(x)), deterministic)
        return nn.Dense(10)(x)


class Transformer(nn.Module):
    """Of blocks of Flax's own attention, with dropout on embeddings, weights and branches."""

    vocabulary: int

    @nn.compact
    def __call__(self, ids: jax.Array, deterministic: bool) -> jax.Array:
        def drop(x: jax.Array) -> jax.Array:
            return nn.Dropout(RATE)(x, deterministic)

        places = self.param("places", nn.initializers.normal(0.02), (SEQUENCE, WIDTH))
        x = drop(nn.Embed(self.vocabulary, WIDTH)(ids) + places)
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
    """A model and the batches it is trained on, inputs[steps, batch, …] and labels."""

    name: str
    model: nn.Module
    inputs: np.ndarray
    labels: np.ndarray


def digits() -> Task:
    from sklearn.datasets import load_digits

    everything = load_digits()
    images = (everything.data[:1792] / 16).astype(np.float32).reshape(7, 256, 64)
    return Task("mlp on digits", Mlp(), images, everything.target[:1792].reshape(7, 256))


def words() -> Task:
    batch, steps = 8, 8
    length = SEQUENCE + 1
    ids, vocabulary = text.characters(steps * batch * length)
    ids = ids.reshape(steps, batch, length)
    return Task("transformer on text", Transformer(vocabulary), ids[..., :-1], ids[..., 1:])


TASKS: tuple[Callable[[], Task], ...] = (digits, words)


class Trainer:
    """One model in training with the dropout of one library."""

    def __init__(self, task: Task, library: str) -> None:
        self.task, self.library = task, library
        apply: Any = task.model.apply
        if library == "flaxnoise":
            apply = flaxnoise.linen.replace_dropout(apply)
        optimiser = optax.adam(1e-3)
        key = jax.random.key(0)
        params = task.model.init(key, task.inputs[0], deterministic=True)
        self.batches = (jnp.asarray(task.inputs), jnp.asarray(task.labels))

        def step(params: Any, state: Any, count: jax.Array, batches: Any) -> Any:
            inputs, labels = (values[count % len(values)] for values in batches)
            rngs = {"dropout": jax.random.fold_in(key, count)}

            def loss(params: Any) -> jax.Array:
                logits = apply(params, inputs, deterministic=library == "none", rngs=rngs)
                return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

            value, gradient = jax.value_and_grad(loss)(params)
            updates, state = optimiser.update(gradient, state, params)
            return optax.apply_updates(params, updates), state, count + 1, value

        self.step = step
        self.held = (params, optimiser.init(params), jnp.int32(0))
        self.program: Any = None
        self.compile_seconds = 0.0

    def compile(self) -> None:
        def compile_it() -> None:
            jitted = jax.jit(self.step, donate_argnums=(0, 1, 2))
            self.program = jitted.lower(*self.held, self.batches).compile()

        self.compile_seconds = seconds(compile_it)[0]

    def run(self) -> jax.Array:
        """A step; the loss."""
        *held, loss = self.program(*self.held, self.batches)
        self.held = tuple(held)
        if jax.default_backend() == "cpu":
            jax.block_until_ready(held)
        return loss

    def test(self, steps: int = 40) -> None:
        """Raises WrongError if the model does not learn."""
        losses = [float(self.run()) for _ in range(steps)]
        first, last = losses[0], np.mean(losses[-5:])
        if not last < 0.9 * first:
            raise WrongError(f"the loss went from {first:.3f} to {last:.3f} in {steps} steps")

    def facts(self) -> Record:
        facts: Record = {"compile": self.compile_seconds}
        memory = self.program.memory_analysis()
        if memory is not None:
            facts["temporary"] = memory.temp_size_in_bytes
            facts["moved"] = memory.argument_size_in_bytes + memory.output_size_in_bytes
        return facts


def measure(task: Task, rounds: int, threads: int, told: Told) -> Iterator[Record]:
    """A record for each library; elements are the steps: one."""
    trainers = []
    for library in LIBRARIES:
        told(f"{task.name} {library}")
        about = {
            "work": task.name,
            "library": library,
            "variant": "",
            "shape": list(task.inputs.shape[1:]),
            "dtype": "float32",
            "pass": "training step",
            "mode": "jit",
            "threads": threads,
        }
        trainer = Trainer(task, library)
        trainer.compile()
        try:
            trainer.test()
        except WrongError as error:
            yield {"record": "refused", **about, "reason": str(error)}
        else:
            trainers.append((about, trainer))
    works = [trainer.run for _, trainer in trainers]
    for (about, trainer), own in zip(
        trainers, interleaved(works, rounds, jax.block_until_ready), strict=True
    ):
        yield timed(about, own, 1, trainer.facts())
