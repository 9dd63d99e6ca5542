"""Normal noise."""

from flaxnoise import functional
from flaxnoise.nnx.base import Number, Shared


class GaussianDropout(Shared):
    """Multiplies by normal noise: y = x·(1 + s·n), n ~ N(0, 1), s = √(rate/(1 − rate)).

    Layer version of ``flaxnoise.gaussian_dropout``.

    Args:
        rate: in [0, 1). Given here or at call time; may be learned.
        broadcast_dims, deterministic, rng_collection, rngs: as in ``Dropout``.

    Example:
        >>> from flax import nnx
        >>> y = flaxnoise.nnx.GaussianDropout(0.5, rngs=nnx.Rngs(0))(x)
    """

    rate: Number = None
    _function = staticmethod(functional.gaussian_dropout)


class GaussianNoise(Shared):
    """Adds normal noise: y = x + stddev·n, n ~ N(0, 1).

    Layer version of ``flaxnoise.gaussian_noise``.

    Args:
        stddev: in units of x, ≥ 0. Given here or at call time; may be learned.
        broadcast_dims, deterministic, rng_collection, rngs: as in ``Dropout``.

    Example:
        >>> from flax import nnx
        >>> y = flaxnoise.nnx.GaussianNoise(0.1, rngs=nnx.Rngs(0))(x)
    """

    stddev: Number = None
    _function = staticmethod(functional.gaussian_noise)


class MaskedGaussianNoise(Shared):
    """Adds normal noise to a share of the elements: y = x + stddev·n where dropped, else x itself.

    Layer version of ``flaxnoise.masked_gaussian_noise``.

    Args:
        rate: share of the elements that get noise, in [0, 1]. Given here or at call time.
        stddev: in units of x, ≥ 0. Given here or at call time; may be learned.
        broadcast_dims, deterministic, rng_collection, rngs: as in ``Dropout``.

    Example:
        >>> from flax import nnx
        >>> y = flaxnoise.nnx.MaskedGaussianNoise(0.2, 0.1, rngs=nnx.Rngs(0))(x)
    """

    rate: Number = None
    stddev: Number = None
    _function = staticmethod(functional.masked_gaussian_noise)
