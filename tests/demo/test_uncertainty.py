"""Part 3 of the demo, continued: rotations, and the samples of Monte-Carlo dropout."""

import numpy as np
import pytest

from demo_parts import digits, uncertainty
from demo_parts.digits_data import load


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return load(seeds=1, images=10).test_images[:33]


def test_a_quarter_turn_is_a_quarter_turn(images: np.ndarray):
    turned = uncertainty.rotate(images, 90).reshape(-1, 8, 8)
    upright = images.reshape(-1, 8, 8)
    # scipy's sines and cosines of these angles are exact, so pixels map to pixels.
    np.testing.assert_array_equal(turned, np.rot90(upright, axes=(1, 2)))
    np.testing.assert_array_equal(uncertainty.rotate(images, 0), images)


def test_draws_differ_and_dropout_off_does_not(images: np.ndarray):
    trainer = digits.nnx_trainer(digits.LAYERS["Dropout(0.5)"], seeds=1)
    first = uncertainty.sample(trainer, images, draws=5)
    second = uncertainty.sample(trainer, images, draws=5)
    assert first.sampled.shape == (33, 5, 10)
    draws = np.concatenate([first.sampled, second.sampled], axis=1)
    assert all(len({draw.tobytes() for draw in image}) == 10 for image in draws)
    np.testing.assert_array_equal(first.plain, second.plain)


def test_entropy_of_certain_and_of_uniform_answers():
    # A float64 logarithm and a sum of ten terms.
    np.testing.assert_allclose(uncertainty.entropy(np.full(10, 0.1)), np.log(10), rtol=1e-14)
    assert uncertainty.entropy(np.eye(10)).tolist() == [0] * 10
