"""Alpha dropout: dropout for self-normalising networks."""

from flaxnoise import functional
from flaxnoise.linen.base import Noise, Rate, Shared


class AlphaDropout(Noise, Shared, Rate):
    """Drops elements to SELU's saturation, keeping mean 0 and variance 1.

    Layer version of ``flaxnoise.alpha_dropout``.

    Attributes:
        rate: share of the elements dropped, in [0, 1]. Given here or at call time.
        broadcast_dims, deterministic, rng_collection: as in ``Dropout``.

    Example:
        >>> noise = flaxnoise.linen.AlphaDropout(0.1, deterministic=False)
        >>> y = noise.apply({}, x, rngs={"dropout": key})
    """

    _function = staticmethod(functional.alpha_dropout)


class FeatureAlphaDropout(Noise, Rate):
    """Drops whole feature maps to SELU's saturation.

    Layer version of ``flaxnoise.feature_alpha_dropout``.

    Attributes:
        rate: share of the feature maps dropped, in [0, 1]. Given here or at call time.
        deterministic, rng_collection: as in ``Dropout``.

    Example:
        >>> noise = flaxnoise.linen.FeatureAlphaDropout(0.1, deterministic=False)
        >>> y = noise.apply({}, jnp.ones((4, 7, 7, 3)), rngs={"dropout": key})
    """

    _function = staticmethod(functional.feature_alpha_dropout)
