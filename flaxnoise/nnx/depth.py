"""Stochastic depth."""

import dataclasses
from typing import Literal

from flaxnoise import functional
from flaxnoise.nnx.base import Noise, Number


class DropPath(Noise):
    """Drops whole rows of a residual branch and scales the rest: stochastic depth.

    Layer version of ``flaxnoise.drop_path``.

    Args:
        rate: share of the rows dropped, in [0, 1]. Given here or at call time.
        mode: "row" or "batch".
        scale: whether kept rows are divided by P(keep).
        deterministic, rng_collection, rngs: as in ``Dropout``.

    Example:
        >>> from flax import nnx
        >>> noise = flaxnoise.nnx.DropPath(0.2, rngs=nnx.Rngs(0))
        >>> y = noise(x)
    """

    rate: Number = None
    _: dataclasses.KW_ONLY
    mode: Literal["row", "batch"] = "row"
    scale: bool = True
    _function = staticmethod(functional.drop_path)
