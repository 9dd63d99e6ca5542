"""Part 3, continued: Monte-Carlo dropout estimates the uncertainty on rotated digits."""

from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.ndimage
from matplotlib.figure import Figure

from demo_parts import report
from demo_parts.digits_data import CLASSES, batches, load
from demo_parts.digits_nnx import Trainer, logits

ANGLES = range(0, 181, 15)
DRAWS = 100
EPOCHS = 30
ROTATED_IMAGES = 200


class Result(NamedTuple):
    """Arrays float[angles, images, …]."""

    plain: np.ndarray  # probabilities with dropout off
    sampled: np.ndarray  # probabilities of every draw: [angles, images, draws, classes]


def rotate(images: np.ndarray, angle: float) -> np.ndarray:
    square = images.reshape(-1, 8, 8)
    turned = scipy.ndimage.rotate(square, angle, axes=(2, 1), reshape=False, order=1)
    return turned.reshape(images.shape)


def sample(trainer: Trainer, images: np.ndarray, draws: int) -> Result:
    """Samples with Monte-Carlo dropout (Gal and Ghahramani, ICML 2016), layers in training mode."""
    plain = jax.nn.softmax(trainer.logits(jnp.asarray(images))[0])
    trainer.model.train()
    repeated = jnp.repeat(jnp.asarray(images), draws, axis=0)
    sampled = jax.nn.softmax(logits(trainer.model, repeated)[0])
    return Result(np.asarray(plain), np.asarray(sampled).reshape(-1, draws, CLASSES))


def entropy(probabilities: np.ndarray) -> np.ndarray:
    return -(probabilities * np.log(probabilities.clip(1e-30))).sum(axis=-1)


def _accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    return (probabilities.argmax(axis=-1) == labels).mean()


def show(folder: Path, trainer: Trainer) -> None:
    report.console.print(
        "\n[bold]How sure is it of rotated digits?[/] A network with Dropout(0.5), trained on a "
        f"thousand upright digits. Off: one pass without dropout. On: the mean of {DRAWS} passes."
    )
    digits = load(seeds=1, images=1000)
    rng = np.random.default_rng(0)
    order = batches(rng, seeds=1, images=1000, batch=50, epochs=EPOCHS)
    trainer.fit(*map(jnp.asarray, (digits.images, digits.labels, order)))

    images = digits.test_images[:ROTATED_IMAGES]
    labels = digits.test_labels[:ROTATED_IMAGES]
    turned = np.stack([rotate(images, angle) for angle in ANGLES])
    flat = sample(trainer, turned.reshape(-1, 64), DRAWS)
    shape = (len(ANGLES), len(images))
    result = Result(*(values.reshape(*shape, *values.shape[1:]) for values in flat))

    mean = result.sampled.mean(axis=2)
    rows = []
    for i, angle in enumerate(ANGLES):
        if angle % 45 == 0:
            kinds = (result.plain[i], mean[i])
            accuracy = (f"{_accuracy(p, labels):.0%}" for p in kinds)
            confidence = (f"{p.max(-1).mean():.0%}" for p in kinds)
            nats = (f"{entropy(p).mean():.2f}" for p in kinds)
            rows.append([f"{angle}°", *accuracy, *confidence, *nats])
    measures = ("accuracy", "confidence", "entropy")
    columns = [f"{measure}\n{kind}" for measure in measures for kind in ("off", "on")]
    report.table(["rotated by", *columns], rows)
    tilted, side = ANGLES.index(30), ANGLES.index(90)
    off, on = (p[tilted].max(-1).mean() for p in (result.plain, mean))
    report.takeaway(
        f"At 30°, {_accuracy(mean[tilted], labels):.0%} of the answers are right; the mean "
        f"confidence is {off:.0%} with dropout off and {on:.0%} with dropout on."
    )
    answers = np.bincount(mean[side].argmax(-1))
    report.takeaway(
        f"This does not detect every error: at 90°, {answers.max()} of {len(labels)} digits are "
        f"classified as {answers.argmax()}, at a mean confidence of "
        f"{mean[side].max(-1).mean():.0%}."
    )
    example = int(np.flatnonzero(labels == 6)[0])
    figure = picture(turned[:, example], result, labels, example)
    report.save(figure, folder, "3_uncertainty.png")


def picture(images: np.ndarray, result: Result, labels: np.ndarray, example: int) -> Figure:
    figure = Figure(figsize=(12, 7.5), layout="constrained")
    grid = figure.add_gridspec(3, 2, height_ratios=[1, 3, 3])
    strip, classes = figure.add_subplot(grid[0, :]), figure.add_subplot(grid[1, :])
    entropies, confidences = figure.add_subplot(grid[2, 0]), figure.add_subplot(grid[2, 1])
    angles = np.array(ANGLES)

    for angle, image in zip(angles, images, strict=True):
        box = (angle - 6.5, angle + 6.5, 0, 13)
        strip.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1, extent=box, aspect="auto")
    strip.set(xlim=(-8, 188), ylim=(0, 13), title=f"One {labels[example]}, rotated")
    strip.set_axis_off()

    draws = result.sampled[:, example]
    shown = np.flatnonzero(draws.mean(axis=1).max(axis=0) > 0.2)
    for place, digit in enumerate(shown):
        low, high = np.quantile(draws[:, :, digit], (0.1, 0.9), axis=1)
        colour = f"C{place}"
        classes.plot(angles, draws[:, :, digit].mean(axis=1), color=colour, label=f"“{digit}”")
        classes.fill_between(angles, low, high, color=colour, alpha=0.15, linewidth=0)
    classes.set(xlim=(-8, 188), ylabel="probability")
    classes.set_title(f"Predicted class (mean and central 80 % of {DRAWS} draws)")
    classes.legend(loc="center left", bbox_to_anchor=(1, 0.5))

    mean = result.sampled.mean(axis=2)
    for name, p, colour in (
        ("dropout on", mean, "#0072B2"),
        ("dropout off", result.plain, "#999999"),
    ):
        line = {"color": colour, "marker": "o", "markersize": 4, "label": name}
        entropies.plot(angles, entropy(p).mean(axis=1), **line)
        confidences.plot(angles, p.max(axis=-1).mean(axis=1), **line)
    right = [_accuracy(p, labels) for p in mean]
    confidences.plot(angles, right, color="black", linestyle="--", label="right answers")
    entropies.set(ylabel="nats", title=f"Entropy, mean over {len(labels)} test images")
    confidences.set(ylabel="share", title="Confidence, mean over the same images")
    confidences.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    for axes in (classes, entropies, confidences):
        axes.set(xlabel="rotated by (degrees)", xticks=angles if axes is classes else angles[::2])
    return figure
