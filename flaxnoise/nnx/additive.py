"""Uniform, Laplace and salt-and-pepper noise."""

from flaxnoise import functional
from flaxnoise.nnx.base import Number, Shared


class UniformNoise(Shared):
    """Adds uniform noise: y = x + scale·n, n ~ U(−1, 1).

    Layer version of ``flaxnoise.uniform_noise``.

    Args:
        scale: half-width in units of x, ≥ 0. Given here or at call time; may be learned.
        broadcast_dims, deterministic, rng_collection, rngs: as in ``Dropout``.

    Example:
        >>> from flax import nnx
        >>> noise = flaxnoise.nnx.UniformNoise(0.5, rngs=nnx.Rngs(0))
        >>> y = noise(x)
    """

    scale: Number = None
    _function = staticmethod(functional.uniform_noise)


class LaplaceNoise(Shared):
    """Adds Laplace noise: y = x + scale·n, n of density exp(−|n|)/2.

    Layer version of ``flaxnoise.laplace_noise``.

    Args:
        scale: mean magnitude in units of x, ≥ 0. Given here or at call time; may be learned.
        broadcast_dims, deterministic, rng_collection, rngs: as in ``Dropout``.

    Example:
        >>> from flax import nnx
        >>> noise = flaxnoise.nnx.LaplaceNoise(0.1, rngs=nnx.Rngs(0))
        >>> y = noise(x)
    """

    scale: Number = None
    _function = staticmethod(functional.laplace_noise)


class SaltAndPepperNoise(Shared):
    """Replaces a share of the elements, half of them by low and half by high.

    Layer version of ``flaxnoise.salt_and_pepper_noise``.

    Args:
        rate: share of the elements replaced, in [0, 1]. Given here or at call time.
        low, high: values of pepper and salt. Given here or at call time; may be learned.
        broadcast_dims, deterministic, rng_collection, rngs: as in ``Dropout``.

    Example:
        >>> from flax import nnx
        >>> noise = flaxnoise.nnx.SaltAndPepperNoise(0.1, -1.0, 1.0, rngs=nnx.Rngs(0))
        >>> y = noise(x)
    """

    rate: Number = None
    low: Number = 0.0
    high: Number = 1.0
    _function = staticmethod(functional.salt_and_pepper_noise)


class MultiplicativeUniform(Shared):
    """Multiplies by uniform noise (speckle): y = x·(1 + scale·n), n ~ U(−1, 1).

    Layer version of ``flaxnoise.multiplicative_uniform``.

    Args:
        scale: relative half-width, ≥ 0. Given here or at call time; may be learned.
        broadcast_dims, deterministic, rng_collection, rngs: as in ``Dropout``.

    Example:
        >>> from flax import nnx
        >>> noise = flaxnoise.nnx.MultiplicativeUniform(0.1, rngs=nnx.Rngs(0))
        >>> y = noise(x)
    """

    scale: Number = None
    _function = staticmethod(functional.multiplicative_uniform)
