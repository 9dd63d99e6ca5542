"""Noise with structure: feature maps, rows, blocks, attention."""

from collections.abc import Sequence
from typing import ClassVar, Literal

from flaxnoise import functional
from flaxnoise.linen.base import Noise, Rate


class FeatureAlphaDropout(Noise, Rate):
    """Drops whole feature maps to SELU's saturation.

    The layer of ``flaxnoise.feature_alpha_dropout``.

    Attributes:
        rate: share of the feature maps dropped, in [0, 1]. Here, or at call time.
        deterministic, rng_collection: as in ``Dropout``.

    Example:
        >>> noise = flaxnoise.linen.FeatureAlphaDropout(0.1, deterministic=False)
        >>> y = noise.apply({}, jnp.ones((4, 7, 7, 3)), rngs={"dropout": key})
    """

    _function = staticmethod(functional.feature_alpha_dropout)
    _certain: ClassVar = {"rate": (0, 1)}


class SpatialDropout1D(Noise, Rate):
    """Drops whole feature maps of sequences [*batch, time, features].

    The layer of ``flaxnoise.spatial_dropout_1d``.

    Attributes:
        rate: share of the feature maps dropped, in [0, 1]. Here, or at call time.
        deterministic, rng_collection: as in ``Dropout``.

    Example:
        >>> noise = flaxnoise.linen.SpatialDropout1D(0.5, deterministic=False)
        >>> y = noise.apply({}, jnp.ones((4, 7, 3)), rngs={"dropout": key})
    """

    _function = staticmethod(functional.spatial_dropout_1d)
    _certain: ClassVar = {"rate": (0, 1)}


class SpatialDropout2D(Noise, Rate):
    """Drops whole feature maps of images [*batch, height, width, features].

    The layer of ``flaxnoise.spatial_dropout_2d``.

    Attributes:
        rate: share of the feature maps dropped, in [0, 1]. Here, or at call time.
        deterministic, rng_collection: as in ``Dropout``.

    Example:
        >>> noise = flaxnoise.linen.SpatialDropout2D(0.5, deterministic=False)
        >>> y = noise.apply({}, jnp.ones((4, 7, 7, 3)), rngs={"dropout": key})
    """

    _function = staticmethod(functional.spatial_dropout_2d)
    _certain: ClassVar = {"rate": (0, 1)}


class SpatialDropout3D(Noise, Rate):
    """Drops whole feature maps of volumes [*batch, depth, height, width, features].

    The layer of ``flaxnoise.spatial_dropout_3d``.

    Attributes:
        rate: share of the feature maps dropped, in [0, 1]. Here, or at call time.
        deterministic, rng_collection: as in ``Dropout``.

    Example:
        >>> noise = flaxnoise.linen.SpatialDropout3D(0.5, deterministic=False)
        >>> y = noise.apply({}, jnp.ones((2, 5, 7, 7, 3)), rngs={"dropout": key})
    """

    _function = staticmethod(functional.spatial_dropout_3d)
    _certain: ClassVar = {"rate": (0, 1)}


class DropPath(Noise, Rate):
    """Drops whole rows of a residual branch and scales the rest: stochastic depth.

    The layer of ``flaxnoise.drop_path``.

    Attributes:
        rate: share of the rows dropped, in [0, 1]. Here, or at call time.
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
    _certain: ClassVar = {"rate": (0, 1)}


class DropBlock1D(Noise, Rate):
    """Drops blocks of sequences and scales the rest.

    The layer of ``flaxnoise.drop_block_1d``.

    Attributes:
        rate: share dropped, in [0, 1]. Here, or at call time.
        block_size: side of a block.
        deterministic, rng_collection: as in ``Dropout``.

    Example:
        >>> noise = flaxnoise.linen.DropBlock1D(0.2, block_size=3, deterministic=False)
        >>> y = noise.apply({}, jnp.ones((4, 17, 3)), rngs={"dropout": key})
    """

    block_size: int | Sequence[int] = 7
    _function = staticmethod(functional.drop_block_1d)
    _certain: ClassVar = {"rate": (0, 1)}


class DropBlock2D(Noise, Rate):
    """Drops blocks of images and scales the rest.

    The layer of ``flaxnoise.drop_block_2d``.

    Attributes:
        rate: share dropped, in [0, 1]. Here, or at call time.
        block_size: side of a block; one number or one for each dimension of space.
        deterministic, rng_collection: as in ``Dropout``.

    Example:
        >>> noise = flaxnoise.linen.DropBlock2D(0.2, block_size=5, deterministic=False)
        >>> y = noise.apply({}, jnp.ones((4, 17, 17, 3)), rngs={"dropout": key})
    """

    block_size: int | Sequence[int] = 7
    _function = staticmethod(functional.drop_block_2d)
    _certain: ClassVar = {"rate": (0, 1)}


class DropBlock3D(Noise, Rate):
    """Drops blocks of volumes and scales the rest.

    The layer of ``flaxnoise.drop_block_3d``.

    Attributes:
        rate: share dropped, in [0, 1]. Here, or at call time.
        block_size: side of a block; one number or one for each dimension of space.
        deterministic, rng_collection: as in ``Dropout``.

    Example:
        >>> noise = flaxnoise.linen.DropBlock3D(0.2, block_size=3, deterministic=False)
        >>> y = noise.apply({}, jnp.ones((2, 7, 7, 7, 3)), rngs={"dropout": key})
    """

    block_size: int | Sequence[int] = 7
    _function = staticmethod(functional.drop_block_3d)
    _certain: ClassVar = {"rate": (0, 1)}


class AttentionDropout(Noise, Rate):
    """Drops attention weights [*batch, heads, queries, keys] and scales the rest.

    The layer of ``flaxnoise.attention_dropout``.

    Attributes:
        rate: share of the weights dropped, in [0, 1]. Here, or at call time.
        broadcast_dropout: whether batch and heads share one mask.
        deterministic, rng_collection: as in ``Dropout``.

    Example:
        >>> noise = flaxnoise.linen.AttentionDropout(0.1, deterministic=False)
        >>> y = noise.apply({}, jnp.ones((2, 4, 9, 9)) / 9, rngs={"dropout": key})
    """

    broadcast_dropout: bool = False
    _function = staticmethod(functional.attention_dropout)
    _certain: ClassVar = {"rate": (0, 1)}
