"""Uniform, Laplace and salt-and-pepper noise."""

from flaxnoise import functional
from flaxnoise.linen.base import Levels, Noise, Rate, Scale, Shared


class UniformNoise(Noise, Shared, Scale):
    """Adds uniform noise: y = x + scale·n, n ~ U(−1, 1).

    Layer version of ``flaxnoise.uniform_noise``.

    Attributes:
        scale: half-width in units of x, ≥ 0. Given here or at call time; may be learned.
        broadcast_dims, deterministic, rng_collection: as in ``Dropout``.

    Example:
        >>> noise = flaxnoise.linen.UniformNoise(0.5, deterministic=False)
        >>> y = noise.apply({}, x, rngs={"dropout": key})
    """

    _function = staticmethod(functional.uniform_noise)


class LaplaceNoise(Noise, Shared, Scale):
    """Adds Laplace noise: y = x + scale·n, n of density exp(−|n|)/2.

    Layer version of ``flaxnoise.laplace_noise``.

    Attributes:
        scale: mean magnitude in units of x, ≥ 0. Given here or at call time; may be learned.
        broadcast_dims, deterministic, rng_collection: as in ``Dropout``.

    Example:
        >>> noise = flaxnoise.linen.LaplaceNoise(0.1, deterministic=False)
        >>> y = noise.apply({}, x, rngs={"dropout": key})
    """

    _function = staticmethod(functional.laplace_noise)


class SaltAndPepperNoise(Noise, Shared, Levels, Rate):
    """Replaces a share of the elements, half of them by low and half by high.

    Layer version of ``flaxnoise.salt_and_pepper_noise``.

    Attributes:
        rate: share of the elements replaced, in [0, 1]. Given here or at call time.
        low, high: values of pepper and salt. Given here or at call time; may be learned.
        broadcast_dims, deterministic, rng_collection: as in ``Dropout``.

    Example:
        >>> noise = flaxnoise.linen.SaltAndPepperNoise(0.1, -1.0, 1.0, deterministic=False)
        >>> y = noise.apply({}, x, rngs={"dropout": key})
    """

    _function = staticmethod(functional.salt_and_pepper_noise)


class MultiplicativeUniform(Noise, Shared, Scale):
    """Multiplies by uniform noise (speckle): y = x·(1 + scale·n), n ~ U(−1, 1).

    Layer version of ``flaxnoise.multiplicative_uniform``.

    Attributes:
        scale: relative half-width, ≥ 0. Given here or at call time; may be learned.
        broadcast_dims, deterministic, rng_collection: as in ``Dropout``.

    Example:
        >>> noise = flaxnoise.linen.MultiplicativeUniform(0.1, deterministic=False)
        >>> y = noise.apply({}, x, rngs={"dropout": key})
    """

    _function = staticmethod(functional.multiplicative_uniform)
