"""The classifier of digits_nnx in Flax linen, trained for several seeds at once."""

from collections.abc import Callable

import flax.linen as nn
import jax
import optax

from demo_parts.digits_data import CLASSES

Layer = Callable[[], nn.Module | None]


class Model(nn.Module):
    noise: Layer

    @nn.compact
    def __call__(self, x: jax.Array, deterministic: bool) -> jax.Array:
        for _ in range(2):
            x = nn.relu(nn.Dense(128)(x))
            layer = self.noise()
            if layer is not None:
                x = layer(x, deterministic=deterministic)
        return nn.Dense(CLASSES)(x)


class Trainer:
    """Trains pure functions of (params, optimizer state) under jax.vmap over the seeds."""

    def __init__(self, noise: Layer, seeds: jax.Array, learning_rate: float):
        model = Model(noise)
        optimizer = optax.adam(learning_rate)

        def create(seed):
            key, noise_key = jax.random.split(jax.random.key(seed))
            params = model.init(key, jax.numpy.zeros(64), deterministic=True)
            return params, optimizer.init(params), noise_key

        def loss(params, x, label, key):
            logits = model.apply(params, x, deterministic=False, rngs={"dropout": key})
            return optax.softmax_cross_entropy_with_integer_labels(logits, label).mean()

        def fit(state, images, labels, batches):
            def step(state, batch):
                params, opt_state, key = state
                key, noise_key = jax.random.split(key)
                value, gradient = jax.value_and_grad(loss)(
                    params, images[batch], labels[batch], noise_key
                )
                updates, opt_state = optimizer.update(gradient, opt_state)
                return (optax.apply_updates(params, updates), opt_state, key), value

            state, losses = jax.lax.scan(step, state, batches)
            return state, losses.mean()

        self.model = model
        self.state = jax.vmap(create)(seeds)
        self._fit = jax.jit(jax.vmap(fit), donate_argnums=0)
        self._logits = jax.jit(
            jax.vmap(lambda params, x: model.apply(params, x, deterministic=True), (0, None))
        )

    def fit(self, images: jax.Array, labels: jax.Array, batches: jax.Array) -> jax.Array:
        """Takes a step for every batch of indices; returns the mean loss of each seed."""
        self.state, losses = self._fit(self.state, images, labels, batches)
        return losses

    def logits(self, images: jax.Array) -> jax.Array:
        return self._logits(self.state[0], images)
