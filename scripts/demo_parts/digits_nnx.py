"""A classifier in Flax nnx, trained for several seeds at once."""

from collections.abc import Callable

import jax
import optax
from flax import nnx

from demo_parts.digits_data import CLASSES

Layer = Callable[[nnx.Rngs], Callable[[jax.Array], jax.Array]]


class Model(nnx.Module):
    def __init__(self, noise: Layer, rngs: nnx.Rngs):
        self.dense1 = nnx.Linear(64, 128, rngs=rngs)
        self.noise1 = noise(rngs)
        self.dense2 = nnx.Linear(128, 128, rngs=rngs)
        self.noise2 = noise(rngs)
        self.head = nnx.Linear(128, CLASSES, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.noise1(nnx.relu(self.dense1(x)))
        x = self.noise2(nnx.relu(self.dense2(x)))
        return self.head(x)


class Trainer:
    """Trains a model for each seed; by nnx.vmap, every array has the seeds as first dimension."""

    def __init__(self, noise: Layer, seeds: jax.Array, learning_rate: float):
        @nnx.vmap
        def create(seed):
            model = Model(noise, nnx.Rngs(jax.random.key(seed)))
            return model, nnx.Optimizer(model, optax.adam(learning_rate), wrt=nnx.Param)

        self.model, self.optimizer = create(seeds)

    def fit(self, images: jax.Array, labels: jax.Array, batches: jax.Array) -> jax.Array:
        """Takes a step for every batch of indices; returns the mean loss of each seed."""
        self.model.train()
        return fit(self.model, self.optimizer, images, labels, batches)

    def logits(self, images: jax.Array) -> jax.Array:
        self.model.eval()
        return logits(self.model, images)


@nnx.jit
@nnx.vmap
def fit(model, optimizer, images, labels, batches):
    @nnx.scan(in_axes=(nnx.Carry, 0), out_axes=(nnx.Carry, 0))
    def step(carry, batch):
        model, optimizer = carry

        def loss(model):
            return optax.softmax_cross_entropy_with_integer_labels(
                model(images[batch]), labels[batch]
            ).mean()

        value, gradient = nnx.value_and_grad(loss)(model)
        optimizer.update(model, gradient)
        return (model, optimizer), value

    _, losses = step((model, optimizer), batches)
    return losses.mean()


@nnx.jit
@nnx.vmap(in_axes=(0, None))
def logits(model, images):
    return model(images)
