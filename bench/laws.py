"""What each kind of work must give, whoever does it: the laws that the gate tests.

x is between 1 and 2 throughout, so that the values a discrete law can give are far apart.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Array = np.ndarray

RATE = 0.1  # of masks, and of gaussian dropout
STDDEV = 0.3  # and the scale of other noise
LOW, HIGH = -1.0, 3.0  # pepper and salt
LOGIT, TEMPERATURE = math.log(RATE / (1 - RATE)), 0.1  # of concrete dropout
L1 = 0.01  # of activity regularisation
IDS = 1024.0  # an x stands for this many ids, rounded down
FACTOR = 1.25  # of the plain multiplication


class Discrete(NamedTuple):
    """y is one of a few functions of x, each with its probability and its dx/dy."""

    values: Callable[[Array], tuple[Array, ...]]
    probabilities: tuple[float, ...]
    slopes: tuple[float, ...]
    shared: tuple[int, ...] = ()  # dimensions of x along which the noise is the same


class Continuous(NamedTuple):
    """(y − shift(x)) / size(x) has mean 0, variance 1 and this fourth moment."""

    shift: Callable[[Array], Array]
    size: Callable[[Array], Array]
    fourth: float
    slope: Callable[[Array, Array], Array]  # dx/dy from x and y


class Blocks(NamedTuple):
    """y is 0 in squares of a side, elsewhere x times a factor of the place; its mean is x.

    x is [batch, height, width, features].
    """

    side: int


class Backward(NamedTuple):
    """y is x; the law is that of the cotangents: of dx, given dy."""

    law: "Law"


Law = Discrete | Continuous | Blocks | Backward


def _alpha() -> tuple[float, float, float]:
    """(slope, shift, α′) of alpha dropout, in the notation of Klambauer et al. 2017."""
    alpha = -1.0507009873554805 * 1.6732632423543772
    keep = 1 - RATE
    slope = (keep + alpha**2 * keep * (1 - keep)) ** -0.5
    return slope, -slope * (1 - keep) * alpha, alpha


SLOPE, SHIFT, ALPHA = _alpha()
_KEEP = 1 / (1 - RATE)
_BERNOULLI = (RATE, 1 - RATE)


def _same(x: Array) -> Array:
    return x


def _added(scale: float, fourth: float) -> Continuous:
    return Continuous(_same, lambda x: np.full_like(x, scale), fourth, lambda x, y: np.ones_like(x))


def _multiplied(scale: float, fourth: float) -> Continuous:
    return Continuous(_same, lambda x: x * scale, fourth, lambda x, y: y / x)


def _dropped(shared: tuple[int, ...]) -> Discrete:
    return Discrete(lambda x: (0 * x, x * _KEEP), _BERNOULLI, (0.0, _KEEP), shared)


def _alpha_dropped(shared: tuple[int, ...]) -> Discrete:
    return Discrete(
        lambda x: (0 * x + (SLOPE * ALPHA + SHIFT), SLOPE * x + SHIFT),
        _BERNOULLI,
        (0.0, SLOPE),
        shared,
    )


def _concrete() -> Continuous:
    """Of x times a continuous mask, by Gal et al. 2017, whose moments are integrals over u."""
    u = (np.arange(1 << 20) + 0.5) / (1 << 20)
    logistic = LOGIT + np.log(u) - np.log1p(-u)
    factor = (1 - 1 / (1 + np.exp(-logistic / TEMPERATURE))) / (1 - RATE)
    mean, deviation = factor.mean(), factor.std()
    fourth = float((((factor - mean) / deviation) ** 4).mean())
    return Continuous(lambda x: x * mean, lambda x: x * deviation, fourth, lambda x, y: y / x)


def _always(factor: float, offset: float = 0.0) -> Discrete:
    return Discrete(lambda x: (x * factor + offset,), (1.0,), (factor,))


LAWS: dict[str, Law] = {
    "copy": _always(1.0),
    "scale": _always(FACTOR),
    "dropout": _dropped(()),
    "spatial_dropout": _dropped((1, 2)),
    "spatial_dropout_1d": _dropped((2,)),
    "spatial_dropout_3d": _dropped((0, 1, 2)),
    "consistent_dropout": _dropped((0,)),
    "drop_path": _dropped((1, 2, 3)),
    "word_dropout": _dropped((3,)),
    "drop_block": Blocks(7),
    "attention_dropout": _dropped((0, 1)),
    "concrete_dropout": _concrete(),
    "alpha_dropout": _alpha_dropped(()),
    "feature_alpha_dropout": _alpha_dropped((1, 2)),
    "token_dropout": Discrete(lambda x: (0 * x, np.floor(x * IDS)), _BERNOULLI, (0.0, 0.0)),
    "salt_and_pepper_noise": Discrete(
        lambda x: (0 * x + LOW, 0 * x + HIGH, x), (RATE / 2, RATE / 2, 1 - RATE), (0.0, 0.0, 1.0)
    ),
    "gaussian_dropout": _multiplied((RATE / (1 - RATE)) ** 0.5, 3.0),
    "gaussian_noise": _added(STDDEV, 3.0),
    "variational_dropout": _multiplied(STDDEV, 3.0),
    "masked_gaussian_noise": _added(STDDEV * RATE**0.5, 3.0 / RATE),
    "uniform_noise": _added(STDDEV / 3**0.5, 9 / 5),
    "multiplicative_uniform": _multiplied(STDDEV / 3**0.5, 9 / 5),
    "laplace_noise": _added(STDDEV * 2**0.5, 6.0),
    "noisy_dense": Continuous(lambda x: 0 * x, _same, 3.0, lambda x, y: y / x),
    "drop_connect": _dropped(()),
    "gradient_noise": Backward(_added(STDDEV, 3.0)),
    "gradient_scale": Backward(_always(FACTOR)),
    "gradient_reversal": Backward(_always(-1.0)),
    "activity_regularization": Backward(_always(1.0, L1)),  # of x above 0
    "stop_gradient": Backward(_always(0.0)),
    "normal": Continuous(lambda x: 0 * x, np.ones_like, 3.0, lambda x, y: 0 * x),
}
