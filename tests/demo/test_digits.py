"""Part 3 of the demo, reduced: data, calibration, and both trainers with every layer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from demo_parts import calibration, digits, digits_data

SEEDS = 2
IMAGES = 60


@pytest.fixture(scope="module")
def data() -> digits_data.Digits:
    return digits_data.load(SEEDS, IMAGES, wrong=0.3)


def test_test_images_are_never_trained_on(data: digits_data.Digits):
    whole = digits_data.load(seeds=1, images=1000)
    trained = {image.tobytes() for image in whole.images[0]}
    assert {image.tobytes() for image in data.images.reshape(-1, 64)} <= trained
    assert not trained & {image.tobytes() for image in data.test_images}
    assert len(data.test_labels) + whole.labels.shape[1] == 1797


def test_share_of_wrong_labels_is_the_one_asked_for():
    right = digits_data.load(seeds=1, images=1000).labels[0]
    wrong = digits_data.load(seeds=1, images=1000, wrong=0.3).labels[0]
    assert ((wrong >= 0) & (wrong < 10)).all()
    # 6 standard deviations of the binomial; a wrong label never equals the right one.
    assert abs((wrong != right).mean() - 0.3) < 6 * np.sqrt(0.3 * 0.7 / 1000)


def test_every_image_comes_once_an_epoch():
    order = digits_data.batches(np.random.default_rng(0), SEEDS, IMAGES, batch=20, epochs=3)
    assert order.shape == (SEEDS, 9, 20)
    epochs = np.sort(order.reshape(SEEDS, 3, IMAGES), axis=-1)
    assert (epochs == np.arange(IMAGES)).all()
    assert len({epoch.tobytes() for epoch in order.reshape(-1, IMAGES)}) == 3 * SEEDS


def test_calibration_error_of_a_small_example():
    """Two images in the bin of 0.9, one of them right, and two in the bin of 0.6, both right."""
    sure = np.array([0.9, 0.9, 0.6, 0.6])
    probabilities = np.stack([sure, 1 - sure], axis=-1)[None]
    accuracy, log_loss, error = calibration.measure(probabilities, np.array([0, 1, 0, 0]))
    assert accuracy == [0.75]
    # Each takes a few float64 operations.
    np.testing.assert_allclose(error, [(abs(1 - 1.8) + abs(2 - 1.2)) / 4], rtol=1e-14)
    np.testing.assert_allclose(log_loss, [-np.log([0.9, 0.1, 0.6, 0.6]).mean()], rtol=1e-14)


@pytest.mark.parametrize("name", digits.LAYERS)
@pytest.mark.parametrize("api", digits.APIS)
def test_training_lowers_the_loss(api: str, name: str, data: digits_data.Digits):
    trainer = digits.APIS[api](digits.LAYERS[name], SEEDS)
    before = weights(trainer)
    steps = []
    result = digits.run(trainer, data, rounds=4, after_round=lambda: steps.append(1))
    assert len(steps) == 4
    assert result.loss.shape == result.accuracy.shape == (4, SEEDS)
    assert (result.loss[-1] < result.loss[0]).all()
    changed = [
        not np.array_equal(old, new) for old, new in zip(before, weights(trainer), strict=True)
    ]
    # Two hidden kernels and the last: each seed starts with different ones.
    assert changed == [name != "StopGradient()", name != "StopGradient()", True]
    assert all(not np.array_equal(kernel[0], kernel[1]) for kernel in before)


@pytest.mark.parametrize("api", digits.APIS)
def test_evaluation_is_without_noise(api: str, data: digits_data.Digits):
    trainer = digits.APIS[api](digits.LAYERS["Dropout(0.5)"], SEEDS)
    images = jnp.asarray(data.test_images[:33])
    np.testing.assert_array_equal(trainer.logits(images), trainer.logits(images))


def weights(trainer) -> list[np.ndarray]:
    """Returns the kernels, from the first layer to the last."""
    if hasattr(trainer, "state"):
        tree = trainer.state[0]
    else:
        tree = nnx.to_pure_dict(nnx.state(trainer.model, nnx.Param))
    leaves = jax.tree.flatten_with_path(tree)[0]
    kernels = {
        jax.tree_util.keystr(path): np.array(leaf) for path, leaf in leaves if leaf.ndim == 3
    }
    return [kernels[name] for name in sorted(kernels)]
