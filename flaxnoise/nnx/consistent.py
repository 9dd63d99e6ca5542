"""Dropout whose mask stays until it is drawn anew."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import jax
from flax import nnx

from flaxnoise import functional
from flaxnoise.nnx.base import Number, Shared, Streams


class HeldKey(nnx.RngState):
    """The key of a mask that is in use."""


class ConsistentDropout(Shared):
    """Drops the same elements in every call, until ``resample``: y = x·keep/P(keep).

    One mask over time steps, over calls, and, by default, over the batch: so that each mask is one
    network, in Monte-Carlo dropout as well as in a recurrent network. Gal and Ghahramani, "A
    theoretically grounded application of dropout in recurrent neural networks", NeurIPS 2016.

    Args:
        rate: share of the elements dropped, in [0, 1]. Here, or at call time.
        broadcast_dims: dimensions along which the mask is shared; by default the first, the batch.
        deterministic, rng_collection, rngs: as in ``Dropout``; rngs must be given.

    Example:
        >>> from flax import nnx
        >>> dropout = flaxnoise.nnx.ConsistentDropout(0.5, rngs=nnx.Rngs(0))
        >>> bool((dropout(x) == dropout(x)).all())
        True
        >>> dropout.resample()
    """

    rate: Number = None
    _: dataclasses.KW_ONLY
    broadcast_dims: int | Sequence[int] = 0
    _function = staticmethod(functional.dropout)
    _certain: ClassVar = {"rate": (0, 1)}

    def __post_init__(self) -> None:
        super().__post_init__()
        self.held = HeldKey(super()._next_key(None, {}), tag=self.rng_collection)

    def resample(self, rngs: Streams | None = None) -> None:
        """Draws another mask, from the layer's own stream unless another is given."""
        self.held.set_value(super()._next_key(rngs, {}))

    def _next_key(self, rngs: Streams | None, arguments: object) -> jax.Array:
        return self.held.get_value() if rngs is None else super()._next_key(rngs, {})
