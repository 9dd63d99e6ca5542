"""Dropout of elements, feature maps and attention weights; dropout with a persistent mask."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from flax import nnx

from flaxnoise import functional
from flaxnoise.layer import apply_dropout
from flaxnoise.nnx.base import Noise, Number, Shared, Streams


class Dropout(Shared, nnx.Dropout):
    """Drops elements and scales the rest: y = x·keep/P(keep).

    Layer version of ``flaxnoise.dropout``. A subclass of flax.nnx.Dropout: a model that uses Flax's
    only has to change the import, and its checkpoints can be restored. The differences: masks
    are different, rates 0 and 1 also take a key from the stream if there is one, and invalid
    arguments raise.

    Args:
        rate: share of the elements dropped, in [0, 1]. Given here or at call time.
        broadcast_dims: dimensions along which the mask is shared.
        deterministic: whether the layer returns its inputs; set by ``train()`` and ``eval()``.
        rng_collection: name of the stream in an Rngs.
        rngs: an Rngs or RngStream, which the layer forks, or a key for a new stream.

    Example:
        >>> from flax import nnx
        >>> dropout = flaxnoise.nnx.Dropout(0.5, rngs=nnx.Rngs(0))
        >>> y = dropout(x)
        >>> dropout.eval()
        >>> dropout(x) is x
        True
    """

    rate: Number = None
    _function = staticmethod(functional.dropout)

    def _apply(self, key: jax.Array, inputs: jax.Array, values: Mapping[str, Any]) -> jax.Array:
        return apply_dropout(key, inputs, **values)


class SpatialDropout1D(Noise):
    """Drops whole feature maps of sequences [*batch, time, features].

    Layer version of ``flaxnoise.spatial_dropout_1d``.

    Args:
        rate: share of the feature maps dropped, in [0, 1]. Given here or at call time.
        deterministic, rng_collection, rngs: as in ``Dropout``.

    Example:
        >>> from flax import nnx
        >>> noise = flaxnoise.nnx.SpatialDropout1D(0.5, rngs=nnx.Rngs(0))
        >>> y = noise(jnp.ones((4, 7, 3)))
    """

    rate: Number = None
    _function = staticmethod(functional.spatial_dropout_1d)


class SpatialDropout2D(Noise):
    """Drops whole feature maps of images [*batch, height, width, features].

    Layer version of ``flaxnoise.spatial_dropout_2d``.

    Args:
        rate: share of the feature maps dropped, in [0, 1]. Given here or at call time.
        deterministic, rng_collection, rngs: as in ``Dropout``.

    Example:
        >>> from flax import nnx
        >>> noise = flaxnoise.nnx.SpatialDropout2D(0.5, rngs=nnx.Rngs(0))
        >>> y = noise(jnp.ones((4, 7, 7, 3)))
    """

    rate: Number = None
    _function = staticmethod(functional.spatial_dropout_2d)


class SpatialDropout3D(Noise):
    """Drops whole feature maps of volumes [*batch, depth, height, width, features].

    Layer version of ``flaxnoise.spatial_dropout_3d``.

    Args:
        rate: share of the feature maps dropped, in [0, 1]. Given here or at call time.
        deterministic, rng_collection, rngs: as in ``Dropout``.

    Example:
        >>> from flax import nnx
        >>> noise = flaxnoise.nnx.SpatialDropout3D(0.5, rngs=nnx.Rngs(0))
        >>> y = noise(jnp.ones((2, 5, 7, 7, 3)))
    """

    rate: Number = None
    _function = staticmethod(functional.spatial_dropout_3d)


class AttentionDropout(Noise):
    """Drops attention weights [*batch, heads, queries, keys] and scales the rest.

    Layer version of ``flaxnoise.attention_dropout``.

    Args:
        rate: share of the weights dropped, in [0, 1]. Given here or at call time.
        broadcast_dropout: whether batch and heads share one mask.
        deterministic, rng_collection, rngs: as in ``Dropout``.

    Example:
        >>> from flax import nnx
        >>> noise = flaxnoise.nnx.AttentionDropout(0.1, rngs=nnx.Rngs(0))
        >>> y = noise(jnp.ones((2, 4, 9, 9)) / 9)
    """

    rate: Number = None
    _: dataclasses.KW_ONLY
    broadcast_dropout: bool = False
    _function = staticmethod(functional.attention_dropout)


class HeldKey(nnx.RngState):
    """The key of the current mask."""


class ConsistentDropout(Shared):
    """Drops the same elements in every call, until ``resample``: y = x·keep/P(keep).

    All time steps, all calls and, by default, all examples of a batch share the mask, so that each
    mask stands for one network, in Monte-Carlo dropout as in recurrent networks.

    Gal and Ghahramani, "A theoretically grounded application of dropout in recurrent neural
    networks", NeurIPS 2016.

    Args:
        rate: share of the elements dropped, in [0, 1]. Given here or at call time.
        broadcast_dims: dimensions along which the mask is shared; by default the first, the batch.
        deterministic, rng_collection, rngs: as in ``Dropout``; rngs is required.

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

    def __post_init__(self) -> None:
        super().__post_init__()
        self.held = HeldKey(super()._next_key(None, {}), tag=self.rng_collection)

    def resample(self, rngs: Streams | None = None) -> None:
        """Changes the mask, with the next key of ``rngs`` or by default of the layer's stream."""
        self.held.set_value(super()._next_key(rngs, {}))

    def _next_key(self, rngs: Streams | None, arguments: object) -> jax.Array:
        return self.held.get_value() if rngs is None else super()._next_key(rngs, {})
