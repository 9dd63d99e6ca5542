"""Part 3: a classifier on real data, once per layer, in nnx and in linen."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import flaxnoise.linen
import flaxnoise.nnx
from demo_parts import calibration, digits_linen, digits_nnx, report, uncertainty
from demo_parts.digits_data import Digits, batches, load

SEEDS = 5
IMAGES = 300
WRONG = 0.3
BATCH = 50
EPOCHS_A_ROUND = 5
ROUNDS = 20


def nothing(x: jax.Array, deterministic: bool = True) -> jax.Array:
    return x


# Parameters were chosen from two or three values each, on training sets other than those shown.
LAYERS = {
    "none": lambda api, **rngs: nothing,
    "Dropout(0.5)": lambda api, **rngs: api.Dropout(0.5, **rngs),
    "GaussianDropout(0.5)": lambda api, **rngs: api.GaussianDropout(0.5, **rngs),
    "GaussianNoise(0.6)": lambda api, **rngs: api.GaussianNoise(0.6, **rngs),
    "MaskedGaussianNoise(0.5, 1)": lambda api, **rngs: api.MaskedGaussianNoise(0.5, 1, **rngs),
    "StopGradient()": lambda api, **rngs: api.StopGradient(),
}


def nnx_trainer(layer: Callable[..., Any], seeds: int) -> digits_nnx.Trainer:
    return digits_nnx.Trainer(
        lambda rngs: layer(flaxnoise.nnx, rngs=rngs), jnp.arange(seeds), learning_rate=3e-3
    )


def linen_trainer(layer: Callable[..., Any], seeds: int) -> digits_linen.Trainer:
    return digits_linen.Trainer(
        lambda: layer(flaxnoise.linen), jnp.arange(seeds), learning_rate=3e-3
    )


APIS = {"nnx": nnx_trainer, "linen": linen_trainer}


class Result(NamedTuple):
    """Arrays are float32[rounds, seeds], measured after every round."""

    loss: np.ndarray
    accuracy: np.ndarray
    nll: np.ndarray
    ece: np.ndarray
    reliability: np.ndarray  # after the last round; see calibration.reliability
    seconds_a_step: float  # median over the rounds; a step trains all seeds


def run(trainer: Any, digits: Digits, rounds: int, after_round: Callable[[], None]) -> Result:
    seeds, images = digits.labels.shape
    images_a_seed, labels = jnp.asarray(digits.images), jnp.asarray(digits.labels)
    test_images = jnp.asarray(digits.test_images)
    rng = np.random.default_rng(0)
    seconds, curves = [], []
    for _ in range(rounds):
        order = jnp.asarray(batches(rng, seeds, images, BATCH, EPOCHS_A_ROUND))
        start = time.perf_counter()
        loss = jax.block_until_ready(trainer.fit(images_a_seed, labels, order))
        seconds.append((time.perf_counter() - start) / order.shape[1])
        probabilities = np.asarray(jax.nn.softmax(trainer.logits(test_images)))
        curves.append([np.asarray(loss), *calibration.measure(probabilities, digits.test_labels)])
        after_round()
    return Result(
        *(np.stack(curve) for curve in zip(*curves, strict=True)),
        reliability=calibration.reliability(probabilities, digits.test_labels),
        seconds_a_step=float(np.median(seconds[1:])),  # the first compiles
    )


def show(folder: Path) -> None:
    report.heading(
        3,
        "Training on real data",
        f"{IMAGES} of scikit-learn's digits, {WRONG:.0%} with a wrong label, so that a network of "
        "three dense layers can overfit. The layer follows each of the two hidden layers. "
        f"{SEEDS} seeds, each with its own images, train together; ± is their standard deviation.",
    )
    digits = load(SEEDS, IMAGES, WRONG)
    results = {}
    with report.progress() as progress:
        bar = progress.add_task("", total=len(LAYERS) * len(APIS) * ROUNDS)
        for name, layer in LAYERS.items():
            for api, trainer in APIS.items():
                progress.update(bar, description=f"{api} {name}")
                results[name, api] = run(
                    trainer(layer, SEEDS), digits, ROUNDS, lambda: progress.advance(bar)
                )
        progress.update(bar, description="trained")

    rows = [
        [
            name if api == "nnx" else "",
            api,
            _spread(100 * r.accuracy[-1], 1),
            _spread(r.nll[-1], 2),
            _spread(100 * r.ece[-1], 1),
            f"{1e3 * r.seconds_a_step:.2f}",
        ]
        for (name, api), r in results.items()
    ]
    columns = ["layer", "API", "accuracy\n%", "log loss", "calibration\nerror %", "ms a\nstep"]
    report.table(columns, rows, left=2)
    _takeaways(results)
    report.save(picture(results), folder, "3_training.png")
    uncertainty.show(folder, nnx_trainer(LAYERS["Dropout(0.5)"], seeds=1))


def _spread(values: np.ndarray, digits: int) -> str:
    return f"{values.mean():.{digits}f} ± {values.std(ddof=1):.{digits}f}"


def _takeaways(results: dict[tuple[str, str], Result]) -> None:
    none = results["none", "nnx"]
    curve = none.accuracy.mean(axis=1)
    forgets = curve[-1] < curve.max() - 0.02
    report.takeaway(
        f"Without a layer, accuracy peaks at {curve.max():.0%} and ends at {curve[-1]:.0%}"
        + (": the network memorises the wrong labels." if forgets else ".")
    )
    layers = [name for name in LAYERS if name != "none"]
    best = min(layers, key=lambda name: results[name, "nnx"].nll[-1].mean())
    gain = 100 * (results[best, "nnx"].accuracy[-1] - none.accuracy[-1])
    report.takeaway(
        f"Of the layers, {best} has the lowest log loss. Its gain in accuracy over no layer is "
        f"{_spread(gain, 1)} points, seed by seed."
    )
    frozen = results["StopGradient()", "nnx"]
    report.takeaway(
        "StopGradient() froze both hidden layers, so only the last one learned: accuracy "
        f"{frozen.accuracy[-1].mean():.0%}, calibration error "
        f"{100 * frozen.ece[-1].mean():.0f} points. It is meant for freezing, not as a regulariser."
    )


def picture(results: dict[tuple[str, str], Result]) -> Figure:
    figure = Figure(figsize=(14, 4.8), layout="constrained")
    accuracy, nll, reliability = figure.subplots(1, 3)
    epochs = EPOCHS_A_ROUND * np.arange(1, ROUNDS + 1)
    for (name, api), result in results.items():
        colour = report.colour(name)
        if api == "linen":
            for axes, curve in ((accuracy, 100 * result.accuracy), (nll, result.nll)):
                axes.plot(epochs, curve.mean(axis=1), color=colour, linestyle=":", linewidth=1.2)
            continue
        for axes, curve in ((accuracy, 100 * result.accuracy), (nll, result.nll)):
            mean, spread = curve.mean(axis=1), curve.std(axis=1, ddof=1)
            axes.plot(epochs, mean, color=colour, label=name)
            axes.fill_between(
                epochs, mean - spread, mean + spread, color=colour, alpha=0.12, linewidth=0
            )
        reliability.plot(*result.reliability, color=colour, marker="o", markersize=4)
    accuracy.set(xlabel="epoch", ylabel="accuracy (%)", title="Accuracy on the test images")
    nll.set(xlabel="epoch", ylabel="log loss (nats)", title="Log loss on the test images")
    reliability.plot([0, 1], [0, 1], color="#999999", linestyle="--", linewidth=1)
    reliability.set(
        xlabel="confidence", ylabel="accuracy", title="Calibration at the end (dashed: perfect)"
    )
    figure.legend(*accuracy.get_legend_handles_labels(), loc="outside lower center", ncols=6)
    figure.suptitle(
        f"Digits, {IMAGES} training images, {WRONG:.0%} wrong labels. "
        f"Solid: nnx, mean ± deviation of {SEEDS} seeds; dotted: linen"
    )
    return figure
