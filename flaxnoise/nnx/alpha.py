"""Alpha dropout: dropout for self-normalising networks."""

from flaxnoise import functional
from flaxnoise.nnx.base import Noise, Number, Shared


class AlphaDropout(Shared):
    """Drops elements to SELU's saturation, keeping mean 0 and variance 1.

    Layer version of ``flaxnoise.alpha_dropout``.

    Args:
        rate: share of the elements dropped, in [0, 1]. Given here or at call time.
        broadcast_dims, deterministic, rng_collection, rngs: as in ``Dropout``.

    Example:
        >>> from flax import nnx
        >>> noise = flaxnoise.nnx.AlphaDropout(0.1, rngs=nnx.Rngs(0))
        >>> y = noise(x)
    """

    rate: Number = None
    _function = staticmethod(functional.alpha_dropout)


class FeatureAlphaDropout(Noise):
    """Drops whole feature maps to SELU's saturation.

    Layer version of ``flaxnoise.feature_alpha_dropout``.

    Args:
        rate: share of the feature maps dropped, in [0, 1]. Given here or at call time.
        deterministic, rng_collection, rngs: as in ``Dropout``.

    Example:
        >>> from flax import nnx
        >>> noise = flaxnoise.nnx.FeatureAlphaDropout(0.1, rngs=nnx.Rngs(0))
        >>> y = noise(jnp.ones((4, 7, 7, 3)))
    """

    rate: Number = None
    _function = staticmethod(functional.feature_alpha_dropout)
