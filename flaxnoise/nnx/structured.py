"""Noise with structure: feature maps, rows, blocks, attention."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar, Literal

from flaxnoise import functional
from flaxnoise.nnx.base import Noise, Number


class FeatureAlphaDropout(Noise):
    """Drops whole feature maps to SELU's saturation.

    The layer of ``flaxnoise.feature_alpha_dropout``.

    Args:
        rate: share of the feature maps dropped, in [0, 1]. Here, or at call time.
        deterministic, rng_collection, rngs: as in ``Dropout``.

    Example:
        >>> from flax import nnx
        >>> noise = flaxnoise.nnx.FeatureAlphaDropout(0.1, rngs=nnx.Rngs(0))
        >>> y = noise(jnp.ones((4, 7, 7, 3)))
    """

    rate: Number = None
    _function = staticmethod(functional.feature_alpha_dropout)
    _certain: ClassVar = {"rate": (0, 1)}


class SpatialDropout1D(Noise):
    """Drops whole feature maps of sequences [*batch, time, features].

    The layer of ``flaxnoise.spatial_dropout_1d``.

    Args:
        rate: share of the feature maps dropped, in [0, 1]. Here, or at call time.
        deterministic, rng_collection, rngs: as in ``Dropout``.

    Example:
        >>> from flax import nnx
        >>> noise = flaxnoise.nnx.SpatialDropout1D(0.5, rngs=nnx.Rngs(0))
        >>> y = noise(jnp.ones((4, 7, 3)))
    """

    rate: Number = None
    _function = staticmethod(functional.spatial_dropout_1d)
    _certain: ClassVar = {"rate": (0, 1)}


class SpatialDropout2D(Noise):
    """Drops whole feature maps of images [*batch, height, width, features].

    The layer of ``flaxnoise.spatial_dropout_2d``.

    Args:
        rate: share of the feature maps dropped, in [0, 1]. Here, or at call time.
        deterministic, rng_collection, rngs: as in ``Dropout``.

    Example:
        >>> from flax import nnx
        >>> noise = flaxnoise.nnx.SpatialDropout2D(0.5, rngs=nnx.Rngs(0))
        >>> y = noise(jnp.ones((4, 7, 7, 3)))
    """

    rate: Number = None
    _function = staticmethod(functional.spatial_dropout_2d)
    _certain: ClassVar = {"rate": (0, 1)}


class SpatialDropout3D(Noise):
    """Drops whole feature maps of volumes [*batch, depth, height, width, features].

    The layer of ``flaxnoise.spatial_dropout_3d``.

    Args:
        rate: share of the feature maps dropped, in [0, 1]. Here, or at call time.
        deterministic, rng_collection, rngs: as in ``Dropout``.

    Example:
        >>> from flax import nnx
        >>> noise = flaxnoise.nnx.SpatialDropout3D(0.5, rngs=nnx.Rngs(0))
        >>> y = noise(jnp.ones((2, 5, 7, 7, 3)))
    """

    rate: Number = None
    _function = staticmethod(functional.spatial_dropout_3d)
    _certain: ClassVar = {"rate": (0, 1)}


class DropPath(Noise):
    """Drops whole rows of a residual branch and scales the rest: stochastic depth.

    The layer of ``flaxnoise.drop_path``.

    Args:
        rate: share of the rows dropped, in [0, 1]. Here, or at call time.
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
    _certain: ClassVar = {"rate": (0, 1)}


class DropBlock1D(Noise):
    """Drops blocks of sequences and scales the rest.

    The layer of ``flaxnoise.drop_block_1d``.

    Args:
        rate: share dropped, in [0, 1]. Here, or at call time.
        block_size: side of a block.
        deterministic, rng_collection, rngs: as in ``Dropout``.

    Example:
        >>> from flax import nnx
        >>> noise = flaxnoise.nnx.DropBlock1D(0.2, block_size=3, rngs=nnx.Rngs(0))
        >>> y = noise(jnp.ones((4, 17, 3)))
    """

    rate: Number = None
    _: dataclasses.KW_ONLY
    block_size: int | Sequence[int] = 7
    _function = staticmethod(functional.drop_block_1d)
    _certain: ClassVar = {"rate": (0, 1)}


class DropBlock2D(Noise):
    """Drops blocks of images and scales the rest.

    The layer of ``flaxnoise.drop_block_2d``.

    Args:
        rate: share dropped, in [0, 1]. Here, or at call time.
        block_size: side of a block; one number or one for each dimension of space.
        deterministic, rng_collection, rngs: as in ``Dropout``.

    Example:
        >>> from flax import nnx
        >>> noise = flaxnoise.nnx.DropBlock2D(0.2, block_size=5, rngs=nnx.Rngs(0))
        >>> y = noise(jnp.ones((4, 17, 17, 3)))
    """

    rate: Number = None
    _: dataclasses.KW_ONLY
    block_size: int | Sequence[int] = 7
    _function = staticmethod(functional.drop_block_2d)
    _certain: ClassVar = {"rate": (0, 1)}


class DropBlock3D(Noise):
    """Drops blocks of volumes and scales the rest.

    The layer of ``flaxnoise.drop_block_3d``.

    Args:
        rate: share dropped, in [0, 1]. Here, or at call time.
        block_size: side of a block; one number or one for each dimension of space.
        deterministic, rng_collection, rngs: as in ``Dropout``.

    Example:
        >>> from flax import nnx
        >>> noise = flaxnoise.nnx.DropBlock3D(0.2, block_size=3, rngs=nnx.Rngs(0))
        >>> y = noise(jnp.ones((2, 7, 7, 7, 3)))
    """

    rate: Number = None
    _: dataclasses.KW_ONLY
    block_size: int | Sequence[int] = 7
    _function = staticmethod(functional.drop_block_3d)
    _certain: ClassVar = {"rate": (0, 1)}


class AttentionDropout(Noise):
    """Drops attention weights [*batch, heads, queries, keys] and scales the rest.

    The layer of ``flaxnoise.attention_dropout``.

    Args:
        rate: share of the weights dropped, in [0, 1]. Here, or at call time.
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
    _certain: ClassVar = {"rate": (0, 1)}
