"""Dropout of elements, feature maps and attention weights; dropout with a persistent mask."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
from flax import linen as nn
from flax.core.scope import LazyRng

from flaxnoise import functional
from flaxnoise.layer import apply_dropout
from flaxnoise.linen.base import Noise, Rate, Shared


class Dropout(  # pyright: ignore[reportIncompatibleVariableOverride]
    Noise, Shared, Rate, nn.Dropout
):
    """Drops elements and scales the rest: y = x·keep/P(keep).

    Layer version of ``flaxnoise.dropout``. A subclass of flax.linen.Dropout: a model that uses
    Flax's only has to change the import. The differences: masks are different, rates 0 and 1 also
    take a key from the stream if there is one, and invalid arguments raise.

    Attributes:
        rate: share of the elements dropped, in [0, 1]. Given here or at call time.
        broadcast_dims: dimensions along which the mask is shared.
        deterministic: whether the layer returns its inputs. Given here or at call time.
        rng_collection: name of the stream in the rngs of init and apply.

    Example:
        >>> dropout = flaxnoise.linen.Dropout(0.5)
        >>> y = dropout.apply({}, x, deterministic=False, rngs={"dropout": key})
        >>> dropout.apply({}, x, deterministic=True) is x
        True
    """

    _function = staticmethod(functional.dropout)

    @nn.nowrap
    def _apply(self, key: jax.Array, inputs: jax.Array, values: Mapping[str, Any]) -> jax.Array:
        return apply_dropout(key, inputs, **values)


class SpatialDropout1D(Noise, Rate):
    """Drops whole feature maps of sequences [*batch, time, features].

    Layer version of ``flaxnoise.spatial_dropout_1d``.

    Attributes:
        rate: share of the feature maps dropped, in [0, 1]. Given here or at call time.
        deterministic, rng_collection: as in ``Dropout``.

    Example:
        >>> noise = flaxnoise.linen.SpatialDropout1D(0.5, deterministic=False)
        >>> y = noise.apply({}, jnp.ones((4, 7, 3)), rngs={"dropout": key})
    """

    _function = staticmethod(functional.spatial_dropout_1d)


class SpatialDropout2D(Noise, Rate):
    """Drops whole feature maps of images [*batch, height, width, features].

    Layer version of ``flaxnoise.spatial_dropout_2d``.

    Attributes:
        rate: share of the feature maps dropped, in [0, 1]. Given here or at call time.
        deterministic, rng_collection: as in ``Dropout``.

    Example:
        >>> noise = flaxnoise.linen.SpatialDropout2D(0.5, deterministic=False)
        >>> y = noise.apply({}, jnp.ones((4, 7, 7, 3)), rngs={"dropout": key})
    """

    _function = staticmethod(functional.spatial_dropout_2d)


class SpatialDropout3D(Noise, Rate):
    """Drops whole feature maps of volumes [*batch, depth, height, width, features].

    Layer version of ``flaxnoise.spatial_dropout_3d``.

    Attributes:
        rate: share of the feature maps dropped, in [0, 1]. Given here or at call time.
        deterministic, rng_collection: as in ``Dropout``.

    Example:
        >>> noise = flaxnoise.linen.SpatialDropout3D(0.5, deterministic=False)
        >>> y = noise.apply({}, jnp.ones((2, 5, 7, 7, 3)), rngs={"dropout": key})
    """

    _function = staticmethod(functional.spatial_dropout_3d)


class AttentionDropout(Noise, Rate):
    """Drops attention weights [*batch, heads, queries, keys] and scales the rest.

    Layer version of ``flaxnoise.attention_dropout``.

    Attributes:
        rate: share of the weights dropped, in [0, 1]. Given here or at call time.
        broadcast_dropout: whether batch and heads share one mask.
        deterministic, rng_collection: as in ``Dropout``.

    Example:
        >>> noise = flaxnoise.linen.AttentionDropout(0.1, deterministic=False)
        >>> y = noise.apply({}, jnp.ones((2, 4, 9, 9)) / 9, rngs={"dropout": key})
    """

    broadcast_dropout: bool = False
    _function = staticmethod(functional.attention_dropout)


class ConsistentDropout(Noise, Rate):
    """Drops the same elements in every call of one init or apply: y = x·keep/P(keep).

    All time steps, all calls and, by default, all examples of a batch share the mask, so that each
    mask stands for one network, in Monte-Carlo dropout as in recurrent networks. Inside
    flax.linen.scan, ``split_rngs={"dropout": False}`` keeps the mask for all steps.

    Gal and Ghahramani, "A theoretically grounded application of dropout in recurrent neural
    networks", NeurIPS 2016.

    Attributes:
        rate: share of the elements dropped, in [0, 1]. Given here or at call time.
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

    @nn.nowrap
    def _next_key(self, arguments: Mapping[str, Any]) -> jax.Array:
        names = [name for name in (self.rng_collection, "params") if self.has_rng(name)]
        if self.scope is None or not names:
            return super()._next_key(arguments)
        # Count 0, which make_rng never uses: the same key in every call.
        return LazyRng.create(self.scope.rngs[names[0]], 0).as_jax_rng()
