"""Normal noise."""

from flaxnoise import functional
from flaxnoise.linen.base import Noise, Rate, Shared, Stddev


class GaussianDropout(Noise, Shared, Rate):
    """Multiplies by normal noise: y = x·(1 + s·n), n ~ N(0, 1), s = √(rate/(1 − rate)).

    The layer of ``flaxnoise.gaussian_dropout``.

    Attributes:
        rate: in [0, 1). Here, or at call time, when it may be a learned parameter.
        broadcast_dims, deterministic, rng_collection: as in ``Dropout``.

    Example:
        >>> noise = flaxnoise.linen.GaussianDropout(0.5, deterministic=False)
        >>> y = noise.apply({}, x, rngs={"dropout": key})
    """

    _function = staticmethod(functional.gaussian_dropout)


class GaussianNoise(Noise, Shared, Stddev):
    """Adds normal noise: y = x + stddev·n, n ~ N(0, 1).

    The layer of ``flaxnoise.gaussian_noise``.

    Attributes:
        stddev: in units of x, ≥ 0. Here, or at call time, when it may be a learned parameter.
        broadcast_dims, deterministic, rng_collection: as in ``Dropout``.

    Example:
        >>> noise = flaxnoise.linen.GaussianNoise(0.1, deterministic=False)
        >>> y = noise.apply({}, x, rngs={"dropout": key})
    """

    _function = staticmethod(functional.gaussian_noise)


class MaskedGaussianNoise(Noise, Shared, Stddev, Rate):
    """Adds normal noise to a share of the elements: y = x + stddev·n there, else x itself.

    The layer of ``flaxnoise.masked_gaussian_noise``.

    Attributes:
        rate: share of the elements that get noise, in [0, 1]. Here, or at call time.
        stddev: in units of x, ≥ 0. Here, or at call time, when it may be a learned parameter.
        broadcast_dims, deterministic, rng_collection: as in ``Dropout``.

    Example:
        >>> noise = flaxnoise.linen.MaskedGaussianNoise(0.2, 0.1, deterministic=False)
        >>> y = noise.apply({}, x, rngs={"dropout": key})
    """

    _function = staticmethod(functional.masked_gaussian_noise)
