"""Dropout whose mask is the same in every call."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax
from flax import linen as nn
from flax.core.scope import LazyRng

from flaxnoise import functional
from flaxnoise.linen.base import Noise, Rate


class ConsistentDropout(Noise, Rate):
    """Drops the same elements in every call of one init or apply: y = x·keep/P(keep).

    One mask over time steps, over calls, and, by default, over the batch: so that each mask is one
    network, in Monte-Carlo dropout as well as in a recurrent network. Inside flax.linen.scan,
    ``split_rngs={"dropout": False}`` keeps the mask over the steps. Gal and Ghahramani, "A
    theoretically grounded application of dropout in recurrent neural networks", NeurIPS 2016.

    Attributes:
        rate: share of the elements dropped, in [0, 1]. Here, or at call time.
        broadcast_dims: dimensions along which the mask is shared; by default the first, the batch.
        deterministic, rng_collection: as in ``Dropout``.

    Example:
        >>> dropout = flaxnoise.linen.ConsistentDropout(0.5, deterministic=False)
        >>> bound = dropout.bind({}, rngs={"dropout": key})
        >>> bool((bound(x) == bound(x)).all())
        True
    """

    broadcast_dims: int | Sequence[int] = 0
    _function = staticmethod(functional.dropout)
    _certain: ClassVar = {"rate": (0, 1)}

    @nn.nowrap
    def _next_key(self, arguments: Mapping[str, Any]) -> jax.Array:
        names = [name for name in (self.rng_collection, "params") if self.has_rng(name)]
        if self.scope is None or not names:
            return super()._next_key(arguments)
        # Count 0, which make_rng never uses, and which stays the same.
        return LazyRng.create(self.scope.rngs[names[0]], 0).as_jax_rng()
