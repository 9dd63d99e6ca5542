"""Accuracy and calibration of a classifier."""

import numpy as np

BINS = 10


def measure(
    probabilities: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns accuracy, log loss and expected calibration error, each float[seeds].

    The calibration error is |accuracy − confidence| in ten bins of confidence, averaged over the
    images: Guo et al., "On calibration of modern neural networks", ICML 2017.

    Args:
        probabilities: float[seeds, images, classes].
        labels: int[images].
    """
    right = probabilities.argmax(axis=-1) == labels
    given = probabilities[:, np.arange(len(labels)), labels]
    log_loss = -np.log(given.clip(1e-30)).mean(axis=-1)
    errors = [_calibration_error(*pair) for pair in zip(probabilities, right, strict=True)]
    return right.mean(axis=-1), log_loss, np.array(errors)


def reliability(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns (confidence, accuracy) of the bins with at least twenty images of all seeds."""
    right = (probabilities.argmax(axis=-1) == labels).ravel()
    counts, confidence, hits = _bins(probabilities.max(axis=-1).ravel(), right)
    enough = counts >= 20
    return np.stack([confidence, hits])[:, enough] / counts[enough]


def _calibration_error(probabilities: np.ndarray, right: np.ndarray) -> float:
    _, confidence, hits = _bins(probabilities.max(axis=-1), right)
    return float(abs(hits - confidence).sum() / len(right))


def _bins(confidence: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns for each bin the number of images, the sum of confidences, and the number right."""
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    weights = (np.ones_like(confidence), confidence, right)
    counts, confidence, hits = (np.bincount(place, w, minlength=BINS) for w in weights)
    return counts, confidence, hits
