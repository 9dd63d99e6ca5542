"""Part 2: Dropout(1.0) and StopGradient both freeze the first layer; how they differ."""

from pathlib import Path
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

from demo_parts import report
from flaxnoise.linen import Dropout, StopGradient

EPOCHS = 50
EXAMPLES = 1024
LAYERS = {
    "none": None,
    "Dropout(1.0)": Dropout(1.0),
    "Dropout(0.99999)": Dropout(0.99999),
    "StopGradient()": StopGradient(),
}
COLOURS = dict(zip(LAYERS, ["#999999", "#0072B2", "#CC79A7", "#009E73"], strict=True))


class Model(nn.Module):
    """Dense(32, relu) → layer → Dense(1)."""

    layer: nn.Module | None

    @nn.compact
    def __call__(self, x):
        hidden = nn.relu(nn.Dense(32)(x))
        passed = hidden if self.layer is None else self.layer(hidden, deterministic=False)
        return nn.Dense(1)(passed), hidden, passed


class Result(NamedTuple):
    losses: jax.Array  # float32[EPOCHS]
    largest: dict[str, jax.Array]  # the largest |gradient| of every leaf over all epochs
    first: dict[str, jax.Array]  # the gradients of the first epoch
    unchanged: dict[str, bool]  # whether training left the leaf as it was, bit for bit
    is_identity: bool  # whether the layer returned its input in every epoch
    passed: int  # nonzero outputs of the layer in all epochs


def train(layer: nn.Module | None, key: jax.Array) -> Result:
    """Trains with Adam on the mean squared error; the whole loop is compiled."""
    data_key, init_key, noise_key = jax.random.split(key, 3)
    x = jax.random.normal(data_key, (EXAMPLES, 8))
    y = jnp.tanh(x.sum(axis=1, keepdims=True))
    model = Model(layer)
    start = model.init({"params": init_key, "dropout": noise_key}, x)["params"]
    optimizer = optax.adam(1e-2)

    def loss(params, key):
        prediction, hidden, passed = model.apply({"params": params}, x, rngs={"dropout": key})
        return optax.squared_error(prediction, y).mean(), (hidden, passed)

    def epoch(carry, key):
        params, state = carry
        (value, (hidden, passed)), gradient = jax.value_and_grad(loss, has_aux=True)(params, key)
        updates, state = optimizer.update(gradient, state)
        seen = value, gradient, (hidden == passed).all(), jnp.count_nonzero(passed)
        return (optax.apply_updates(params, updates), state), seen

    @jax.jit
    def run(params):
        keys = jax.random.split(noise_key, EPOCHS)
        return jax.lax.scan(epoch, (params, optimizer.init(params)), keys)

    (end, _), (losses, gradients, same, passed) = run(start)
    gradients = leaves(gradients)
    return Result(
        losses=losses,
        largest={name: abs(value).max() for name, value in gradients.items()},
        first={name: value[0] for name, value in gradients.items()},
        unchanged=jax.tree.map(
            lambda old, new: bool((old == new).all()), leaves(start), leaves(end)
        ),
        is_identity=bool(same.all()),
        passed=int(passed.sum()),
    )


def leaves(tree) -> dict[str, jax.Array]:
    names = [(dense, leaf) for dense in ("Dense_0", "Dense_1") for leaf in ("kernel", "bias")]
    return {f"{dense} {leaf}": tree[dense][leaf] for dense, leaf in names}


def show(folder: Path) -> None:
    report.heading(
        2,
        "Dropout(1.0) or StopGradient?",
        f"Dense(32, relu) → layer → Dense(1), {EPOCHS} epochs of Adam on random data. "
        "Both stop the gradient.",
    )
    key = jax.random.key(0)
    results = {name: train(layer, key) for name, layer in LAYERS.items()}
    frozen = ("Dense_0 kernel", "Dense_0 bias")
    rows = [
        [f"{leaf} unchanged", *(report.truth(r.unchanged[leaf]) for r in results.values())]
        for leaf in frozen
    ]
    rows.append(["outputs of the layer", *(_outputs(r) for r in results.values())])
    rows.append(["loss at the end", *(f"{r.losses[-1]:.3g}" for r in results.values())])
    report.table(["", *map(report.stacked, results)], rows)

    dropout, stop = results["Dropout(1.0)"], results["StopGradient()"]
    rows = [
        [
            leaf,
            *(f"{r.largest[leaf]:.2g}" for r in results.values()),
            report.truth(bool((dropout.first[leaf] == stop.first[leaf]).all())),
        ]
        for leaf in stop.first
    ]
    columns = map(report.stacked, results)
    both = "in epoch 1,\nDropout(1.0) ==\nStopGradient()"
    report.table(["largest |gradient|\nin all epochs", *columns, both], rows)
    report.takeaway(
        "To freeze the layers before it, use StopGradient: the layers after it keep learning from "
        "their output. Dropout(1.0) replaces that output by zeros, so only the last bias learns."
    )
    report.takeaway(
        f"A rate of 0.99999 does neither: {results['Dropout(0.99999)'].passed} outputs passed, "
        "multiplied by 100 000, and their gradients moved the first layer."
    )
    report.save(picture(results), folder, "2_gradients.png")


def _outputs(result: Result) -> str:
    if result.is_identity:
        return "identity"
    return f"{result.passed} nonzero" if result.passed else "zeros"


def picture(results: dict[str, Result]) -> Figure:
    figure = Figure(figsize=(12, 4.2), layout="constrained")
    losses, bars = figure.subplots(1, 2)
    for name, result in results.items():
        style = {"linestyle": "--"} if name == "Dropout(0.99999)" else {}  # would hide another line
        losses.plot(range(1, EPOCHS + 1), result.losses, color=COLOURS[name], label=name, **style)
    losses.set(xlabel="epoch", ylabel="mean squared error", yscale="log")
    losses.set_title("Loss")
    losses.legend()

    names = list(results["none"].largest)
    places = np.arange(len(names))
    for i, (name, result) in enumerate(results.items()):
        heights = np.array([result.largest[leaf] for leaf in names])
        at = places + 0.2 * (i - 1.5)
        bars.bar(at, heights, width=0.18, color=COLOURS[name], label=name)
        for x in at[heights == 0]:
            bars.annotate("0", (x, 0), (x, 0.01), xycoords=("data", "axes fraction"), ha="center")
    bars.set(yscale="log", ylabel="largest |gradient|")
    bars.set_xticks(places, names)
    bars.set_title(f"Largest gradient of each parameter in {EPOCHS} epochs")
    return figure
