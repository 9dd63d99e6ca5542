"""Normal noise."""

from flaxnoise import functional
from flaxnoise.linen.base import Noise, Rate, Shared, Stddev


class GaussianDropout(Noise, Shared, Rate):
    """Multiplies by normal noise: y = x·(1 + s·n), n ~ N(0, 1), s = √(rate/(1 − rate)).

    Layer version of ``flaxnoise.gaussian_dropout``.

    Attributes:
        rate: in [0, 1). Given here or at call time; then it may be a parameter.
        broadcast_dims, deterministic, rng_collection: as in ``Dropout``.

    Example:
        >>> noise = flaxnoise.linen.GaussianDropout(0.5, deterministic=False)
        >>> y = noise.apply({}, x, rngs={"dropout": key})
    """

    _function = staticmethod(functional.gaussian_dropout)


class GaussianNoise(Noise, Shared, Stddev):
    """Adds normal noise: y = x + stddev·n, n ~ N(0, 1).

    Layer version of ``flaxnoise.gaussian_noise``.

    Attributes:
        stddev: in units of x, ≥ 0. Given here or at call time; then it may be a parameter.
        broadcast_dims, deterministic, rng_collection: as in ``Dropout``.

    Example:
        >>> noise = flaxnoise.linen.GaussianNoise(0.1, deterministic=False)
        >>> y = noise.apply({}, x, rngs={"dropout": key})
    """

    _function = staticmethod(functional.gaussian_noise)


class MaskedGaussianNoise(Noise, Shared, Stddev, Rate):
    """Adds normal noise to a share of the elements: y = x + stddev·n where dropped, else x itself.

    Layer version of ``flaxnoise.masked_gaussian_noise``.

    Attributes:
        rate: share of the elements that get noise, in [0, 1]. Given here or at call time.
        stddev: in units of x, ≥ 0. Given here or at call time; then it may be a parameter.
        broadcast_dims, deterministic, rng_collection: as in ``Dropout``.

    Example:
        >>> noise = flaxnoise.linen.MaskedGaussianNoise(0.2, 0.1, deterministic=False)
        >>> y = noise.apply({}, x, rngs={"dropout": key})
    """

    _function = staticmethod(functional.masked_gaussian_noise)
