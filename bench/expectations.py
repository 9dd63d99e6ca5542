"""What each work must compute, in every library.

x is between 1 and 2 throughout, so that the values of a discrete expectation are far apart.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Array = np.ndarray

RATE = 0.1  # of masks, and of gaussian dropout
STDDEV = 0.3  # of normal noise, and the scale of other noise
LOW, HIGH = -1.0, 3.0  # values of pepper and salt
LOGIT, TEMPERATURE = math.log(RATE / (1 - RATE)), 0.1  # of concrete dropout
L1 = 0.01  # of activity regularisation
IDS = 1024.0  # token_dropout takes x·IDS, rounded down, for its ids
FACTOR = 1.25  # of the plain multiplication


class Discrete(NamedTuple):
    """y is one of a few functions of x, each with its probability and its dy/dx."""

    values: Callable[[Array], tuple[Array, ...]]
    probabilities: tuple[float, ...]
    slopes: Callable[[Array], tuple[Array | float, ...]]
    shared: tuple[int, ...] = ()  # dimensions of x along which the noise is the same


class Continuous(NamedTuple):
    """(y − shift(x)) / size(x) has mean 0, variance 1 and this fourth moment."""

    shift: Callable[[Array], Array]
    size: Callable[[Array], Array]
    fourth: float
    slope: Callable[[Array, Array], Array]  # dy/dx from x and y


class Blocks(NamedTuple):
    """y is 0 in squares of the given side, and x times one factor per map elsewhere; its mean is x.

    x is [batch, height, width, features].
    """

    side: int


class Permutation(NamedTuple):
    """y has the rows of x in a random order."""


class Backward(NamedTuple):
    """y is x; ``cotangent`` is the expectation of dx as a function of dy."""

    cotangent: "Expectation"


Expectation = Discrete | Continuous | Blocks | Permutation | Backward

_KEEP = 1 / (1 - RATE)
_BERNOULLI = (RATE, 1 - RATE)


def gelu(x: Array) -> tuple[Array, Array]:
    """jax.nn.gelu (the tanh approximation) and its derivative."""
    root = math.sqrt(2 / math.pi)
    t = np.tanh(root * (x + 0.044715 * x**3))
    inner = root * (1 + 3 * 0.044715 * x**2)
    return 0.5 * x * (1 + t), 0.5 * (1 + t) + 0.5 * x * (1 - t**2) * inner


def _same(x: Array) -> Array:
    return x


def _added(scale: float, fourth: float) -> Continuous:
    return Continuous(_same, lambda x: np.full_like(x, scale), fourth, lambda x, y: np.ones_like(x))


def _multiplied(scale: float, fourth: float) -> Continuous:
    return Continuous(_same, lambda x: x * scale, fourth, lambda x, y: y / x)


def _value(mean: float, deviation: float, fourth: float) -> Continuous:
    """Values that do not depend on x."""
    return Continuous(
        lambda x: np.full_like(x, mean),
        lambda x: np.full_like(x, deviation),
        fourth,
        lambda x, y: 0 * x,
    )


def _dropped(*shared: int) -> Discrete:
    return Discrete(lambda x: (0 * x, x * _KEEP), _BERNOULLI, lambda x: (0.0, _KEEP), shared)


def _alpha_dropped(*shared: int) -> Discrete:
    """In the notation of Klambauer et al. 2017: α′ = −λα, slope A, shift B."""
    alpha = -1.0507009873554805 * 1.6732632423543772
    keep = 1 - RATE
    slope = (keep + alpha**2 * keep * (1 - keep)) ** -0.5
    shift = -slope * (1 - keep) * alpha
    return Discrete(
        lambda x: (0 * x + (slope * alpha + shift), slope * x + shift),
        _BERNOULLI,
        lambda x: (0.0, slope),
        shared,
    )


def _concrete() -> Continuous:
    """x times a continuous mask (Gal et al. 2017); its moments are integrals over u, uniform."""
    u = (np.arange(1 << 20) + 0.5) / (1 << 20)
    logistic = LOGIT + np.log(u) - np.log1p(-u)
    factor = (1 - 1 / (1 + np.exp(-logistic / TEMPERATURE))) / (1 - RATE)
    mean, deviation = factor.mean(), factor.std()
    fourth = float((((factor - mean) / deviation) ** 4).mean())
    return Continuous(lambda x: x * mean, lambda x: x * deviation, fourth, lambda x, y: y / x)


def _chain() -> Discrete:
    """x + dropout(gelu(x + 1))."""
    return Discrete(
        lambda x: (x, x + gelu(x + 1)[0] * _KEEP),
        _BERNOULLI,
        lambda x: (1.0, 1 + gelu(x + 1)[1] * _KEEP),
    )


def _always(factor: float, offset: float = 0.0) -> Discrete:
    return Discrete(lambda x: (x * factor + offset,), (1.0,), lambda x: (factor,))


EXPECTATIONS: dict[str, Expectation] = {
    "copy": _always(1.0),
    "scale": _always(FACTOR),
    "chain": _chain(),
    # The functions of flaxnoise, by their names.
    "dropout": _dropped(),
    "attention_dropout": _dropped(0, 1),
    "spatial_dropout_1d": _dropped(2),
    "spatial_dropout_2d": _dropped(1, 2),
    "spatial_dropout_3d": _dropped(0, 1, 2),
    "drop_path": _dropped(1, 2, 3),
    "word_dropout": _dropped(3),
    "drop_block_2d": Blocks(7),
    "alpha_dropout": _alpha_dropped(),
    "feature_alpha_dropout": _alpha_dropped(1, 2),
    "token_dropout": Discrete(
        lambda x: (0 * x, np.floor(x * IDS)), _BERNOULLI, lambda x: (0.0, 0.0)
    ),
    "salt_and_pepper_noise": Discrete(
        lambda x: (0 * x + LOW, 0 * x + HIGH, x),
        (RATE / 2, RATE / 2, 1 - RATE),
        lambda x: (0.0, 0.0, 1.0),
    ),
    "gaussian_dropout": _multiplied((RATE / (1 - RATE)) ** 0.5, 3.0),
    "gaussian_noise": _added(STDDEV, 3.0),
    "variational_dropout": _multiplied(STDDEV, 3.0),
    "concrete_dropout": _concrete(),
    "masked_gaussian_noise": _added(STDDEV * RATE**0.5, 3.0 / RATE),
    "uniform_noise": _added(STDDEV / 3**0.5, 9 / 5),
    "multiplicative_uniform": _multiplied(STDDEV / 3**0.5, 9 / 5),
    "laplace_noise": _added(STDDEV * 2**0.5, 6.0),
    "noisy_dense": Continuous(lambda x: 0 * x, _same, 3.0, lambda x, y: y / x),
    "gradient_noise": Backward(_added(STDDEV, 3.0)),
    "gradient_scale": Backward(_always(FACTOR)),
    "gradient_reversal": Backward(_always(-1.0)),
    "activity_regularization": Backward(_always(1.0, L1)),  # of x above 0
    "stop_gradient": Backward(_always(0.0)),
    # Layers, and options of functions.
    "consistent_dropout": _dropped(0),
    "drop_connect": _dropped(),
    "add_noise": _added(STDDEV, 3.0),  # of optax; its first update
    # Values of jax.random and ours; x only gives the shape, except where it is permuted.
    "normal": _value(0.0, 1.0, 3.0),
    "uniform": _value(0.5, 12**-0.5, 9 / 5),
    "bernoulli": Discrete(lambda x: (0 * x, 0 * x + 1), _BERNOULLI, lambda x: (0.0, 0.0)),
    "permutation": Permutation(),
}

WITHOUT_GRADIENT = ("token_dropout", "normal", "uniform", "bernoulli", "permutation")
LIMITS = ("copy", "scale")  # the time that memory traffic alone takes
OF_MAPS = tuple(
    work
    for work, expected in EXPECTATIONS.items()
    if isinstance(expected, Blocks) or getattr(expected, "shared", ())
)
