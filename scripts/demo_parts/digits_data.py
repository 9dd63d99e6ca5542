"""The digits that come with scikit-learn: 1797 images of 8×8 pixels, 43 writers."""

from typing import NamedTuple

import numpy as np
from sklearn.datasets import load_digits

CLASSES = 10
TEST_IMAGES = 797


class Digits(NamedTuple):
    """Training sets, one for each seed, and the one test set."""

    images: np.ndarray  # float32[seeds, images, 64], in [0, 1]
    labels: np.ndarray  # int32[seeds, images]
    test_images: np.ndarray  # float32[797, 64]
    test_labels: np.ndarray  # int32[797]


def load(seeds: int, images: int, wrong: float = 0.0) -> Digits:
    """Draws a training set for each seed.

    Args:
        seeds: how many training sets.
        images: how many images in each, of the thousand that are not test images.
        wrong: the share of them that get a wrong label.
    """
    everything = load_digits()
    order = np.random.default_rng(0).permutation(len(everything.target))
    pixels = (everything.data[order] / 16).astype(np.float32)
    digits = everything.target[order].astype(np.int32)
    chosen, labels = [], []
    for seed in range(seeds):
        rng = np.random.default_rng(seed + 1)
        choice = rng.permutation(len(digits) - TEST_IMAGES)[:images] + TEST_IMAGES
        off = np.where(rng.random(images) < wrong, rng.integers(1, CLASSES, images), 0)
        chosen.append(pixels[choice])
        labels.append((digits[choice] + off.astype(np.int32)) % CLASSES)
    return Digits(np.stack(chosen), np.stack(labels), pixels[:TEST_IMAGES], digits[:TEST_IMAGES])


def batches(rng: np.random.Generator, seeds: int, images: int, batch: int, epochs: int):
    """Returns int32[seeds, steps, batch]: the images of every step, each image once per epoch."""
    steps = images // batch
    indices = np.broadcast_to(np.arange(images, dtype=np.int32), (seeds, epochs, images))
    shuffled = rng.permuted(indices, axis=-1)[..., : steps * batch]
    return shuffled.reshape(seeds, epochs * steps, batch)
