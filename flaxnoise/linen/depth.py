"""Stochastic depth."""

from typing import Literal

from flaxnoise import functional
from flaxnoise.linen.base import Noise, Rate


class DropPath(Noise, Rate):
    """Drops whole rows of a residual branch and scales the rest: stochastic depth.

    Layer version of ``flaxnoise.drop_path``.

    Attributes:
        rate: share of the rows dropped, in [0, 1]. Given here or at call time.
        mode: "row" or "batch".
        scale: whether kept rows are divided by P(keep).
        deterministic, rng_collection: as in ``Dropout``.

    Example:
        >>> noise = flaxnoise.linen.DropPath(0.2, deterministic=False)
        >>> y = noise.apply({}, x, rngs={"dropout": key})
    """

    mode: Literal["row", "batch"] = "row"
    scale: bool = True
    _function = staticmethod(functional.drop_path)
