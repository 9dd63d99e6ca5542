"""Dropout and normal noise."""

from typing import ClassVar

from flaxnoise import functional
from flaxnoise.linen.base import Noise, Rate, Shared, Stddev


class Dropout(Noise, Shared, Rate):
    """Drops elements and scales the rest: y = x·keep/P(keep).

    The layer of ``flaxnoise.dropout``. A model that used flax.linen.Dropout needs a change of
    import alone. What differs is the noise, that rates 0 and 1 take a key from the stream where
    there is one, and that wrong arguments raise, integer input
    at rate 0 included.

    Attributes:
        rate: share of the elements dropped, in [0, 1]. Here, or at call time.
        broadcast_dims: dimensions along which the noise is shared.
        deterministic: if true, the layer returns its inputs. Here, or at call time.
        rng_collection: name of the stream in the rngs of init and apply.

    Example:
        >>> dropout = flaxnoise.linen.Dropout(0.5)
        >>> y = dropout.apply({}, x, deterministic=False, rngs={"dropout": key})
        >>> dropout.apply({}, x, deterministic=True) is x
        True
    """

    _function = staticmethod(functional.dropout)
    _certain: ClassVar = {"rate": (0, 1)}


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
