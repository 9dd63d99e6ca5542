"""The model in Flax nnx, and its training step as a pure function of the state."""

from typing import Any

import jax
import numpy as np
import optax
from flax import nnx

from demo_parts.digits_data import CLASSES
from flaxnoise.nnx import Dropout, GaussianNoise
from train_parts.layout import Layout

HIDDEN = 128


class Model(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.input_noise = GaussianNoise(0.1, rngs=rngs)
        self.first = nnx.Linear(64, HIDDEN, rngs=rngs)
        self.dropout = Dropout(0.3, rngs=rngs)
        self.second = nnx.Linear(HIDDEN, HIDDEN, rngs=rngs)
        self.head = nnx.Linear(HIDDEN, CLASSES, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.dropout(nnx.relu(self.first(self.input_noise(x))))
        return self.head(nnx.relu(self.second(x)))


class Training:
    """A training run; its state is parameters, optimizer moments and streams of keys."""

    def __init__(self, layout: Layout, seed: int):
        optimizer = optax.adam(1e-3)
        graph = nnx.graphdef(Model(nnx.Rngs(seed)))

        def create() -> dict[str, Any]:
            _, params, streams = nnx.split(Model(nnx.Rngs(seed)), nnx.Param, ...)
            return {"params": params, "moments": optimizer.init(params), "streams": streams}

        def loss(params: Any, streams: Any, images: jax.Array, labels: jax.Array) -> Any:
            model = nnx.merge(graph, params, streams, copy=True)
            logits = model(images)
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
            return losses.mean(), nnx.state(model, nnx.Not(nnx.Param))

        def step(state: dict[str, Any], images: jax.Array, labels: jax.Array) -> Any:
            gradient = jax.value_and_grad(loss, has_aux=True)
            (value, streams), slopes = gradient(state["params"], state["streams"], images, labels)
            updates, moments = optimizer.update(slopes, state["moments"])
            params = optax.apply_updates(state["params"], updates)
            return {"params": params, "moments": moments, "streams": streams}, value

        def predict(state: dict[str, Any], images: jax.Array) -> jax.Array:
            model = nnx.merge(graph, state["params"], state["streams"])
            model.eval()
            return model(images).argmax(-1)

        shardings = layout.of_state(jax.eval_shape(create))
        replicated = layout.everywhere(np.zeros(())).sharding
        self.state = jax.jit(create, out_shardings=shardings)()
        self._step = jax.jit(step, out_shardings=(shardings, replicated), donate_argnums=0)
        self._predict = jax.jit(predict, out_shardings=replicated)

    def step(self, images: jax.Array, labels: jax.Array) -> jax.Array:
        """Takes a step on a batch and returns the loss."""
        self.state, loss = self._step(self.state, images, labels)
        return loss

    def predictions(self, images: jax.Array) -> np.ndarray:
        return np.asarray(self._predict(self.state, images))
