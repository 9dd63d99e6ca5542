"""Layers that Keras also has follow the same distribution: same values, shares and moments.

torch documents its alpha_dropout and dropout1d, 2d and 3d as equal to these.
"""

import os
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flaxnoise
from cases import KEY
from every import every
from scores import LIMIT, count

SHAPE, MAPS = (1 << 10, 1 << 8), (64, 6, 5, 4, 64)
X = jax.random.normal(jax.random.key(3), SHAPE)
RATE = 0.25


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory):
    """Keras' layers on jax; keeps Keras from writing its settings into the home folder."""
    patch = pytest.MonkeyPatch()
    patch.setenv("KERAS_BACKEND", "jax")
    patch.setenv("KERAS_HOME", os.fspath(tmp_path_factory.mktemp("keras")))
    import keras

    patch.undo()
    assert keras.config.backend() == "jax"
    return keras.layers


def of_keras(layer: Callable, x: jax.Array) -> np.ndarray:
    return np.asarray(layer(x, training=True), np.float64)


def moments_differ(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Returns the largest difference of first and second moments, in standard deviations."""
    scores = []
    for a, b in ((ours, theirs), (ours**2, theirs**2)):
        scores.append(abs(a.mean() - b.mean()) / np.sqrt((a.var() + b.var()) / a.size))
    return float(max(scores))


def test_alpha_dropout_has_keras_values_and_share(layers):
    x = jnp.abs(X) + 1  # never equal to the value of a dropped unit
    ours = np.asarray(flaxnoise.alpha_dropout(KEY, x, RATE), np.float64)
    theirs = of_keras(layers.AlphaDropout(RATE, seed=1), x)
    (value,) = np.unique(ours[ours < 0])
    (other,) = np.unique(theirs[theirs < 0])
    # Both compute it in about five float32 operations.
    assert abs(value - other) <= 10 * 2.0**-24 * abs(other)
    both = (ours > 0) & (theirs > 0)
    assert np.abs(ours - theirs)[both].max() <= 10 * 2.0**-24 * np.abs(theirs).max()
    for y in (ours, theirs):
        assert count(int((y < 0).sum()), y.size, RATE) < LIMIT


@every("rank", [1, 2, 3])
def test_spatial_dropout_drops_keras_maps(rank: int, layers):
    x = jnp.ones((MAPS[0], *MAPS[1 : 1 + rank], MAPS[-1]))
    ours = np.asarray(getattr(flaxnoise, f"spatial_dropout_{rank}d")(KEY, x, RATE), np.float64)
    theirs = of_keras(getattr(layers, f"SpatialDropout{rank}D")(RATE, seed=1), x)
    for y in (ours, theirs):
        maps = y.reshape(MAPS[0], -1, MAPS[-1])
        assert (maps == maps[:, :1]).all()
        assert count(int((maps[:, 0] == 0).sum()), maps[:, 0].size, RATE) < LIMIT
        # 1 − RATE is exact; a quotient is rounded once, a product with 1 is exact.
        np.testing.assert_allclose(np.unique(y), [0, 1 / (1 - RATE)], rtol=2.0**-24)


@every(
    ("name", "function", "noise_of"),
    [
        ("GaussianDropout", flaxnoise.gaussian_dropout, lambda y, x: y / x - 1),
        ("GaussianNoise", flaxnoise.gaussian_noise, lambda y, x: y - x),
    ],
)
def test_gaussian_noises_have_keras_moments(name: str, function, noise_of, layers):
    x = np.asarray(jnp.abs(X) + 1, np.float64)
    ours = noise_of(np.asarray(function(KEY, jnp.abs(X) + 1, RATE), np.float64), x)
    theirs = noise_of(of_keras(getattr(layers, name)(RATE, seed=1), jnp.abs(X) + 1), x)
    assert moments_differ(ours, theirs) < LIMIT
    # Planted: 2 % more noise, a shifted mean, and noise with a wrong dependence on x.
    for planted in (1.02 * ours, ours + 0.02, ours * x):
        assert moments_differ(planted, theirs) > LIMIT
