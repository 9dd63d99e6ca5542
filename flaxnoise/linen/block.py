"""DropBlock: dropout of contiguous blocks."""

from collections.abc import Sequence

from flaxnoise import functional
from flaxnoise.linen.base import Noise, Rate


class DropBlock1D(Noise, Rate):
    """Drops blocks of sequences and scales the rest.

    Layer version of ``flaxnoise.drop_block_1d``.

    Attributes:
        rate: share dropped, in [0, 1]. Given here or at call time.
        block_size: length of a block.
        deterministic, rng_collection: as in ``Dropout``.

    Example:
        >>> noise = flaxnoise.linen.DropBlock1D(0.2, block_size=3, deterministic=False)
        >>> y = noise.apply({}, jnp.ones((4, 17, 3)), rngs={"dropout": key})
    """

    block_size: int | Sequence[int] = 7
    _function = staticmethod(functional.drop_block_1d)


class DropBlock2D(Noise, Rate):
    """Drops blocks of images and scales the rest.

    Layer version of ``flaxnoise.drop_block_2d``.

    Attributes:
        rate: share dropped, in [0, 1]. Given here or at call time.
        block_size: side of a block; one number, or one for each spatial dimension.
        deterministic, rng_collection: as in ``Dropout``.

    Example:
        >>> noise = flaxnoise.linen.DropBlock2D(0.2, block_size=5, deterministic=False)
        >>> y = noise.apply({}, jnp.ones((4, 17, 17, 3)), rngs={"dropout": key})
    """

    block_size: int | Sequence[int] = 7
    _function = staticmethod(functional.drop_block_2d)


class DropBlock3D(Noise, Rate):
    """Drops blocks of volumes and scales the rest.

    Layer version of ``flaxnoise.drop_block_3d``.

    Attributes:
        rate: share dropped, in [0, 1]. Given here or at call time.
        block_size: side of a block; one number, or one for each spatial dimension.
        deterministic, rng_collection: as in ``Dropout``.

    Example:
        >>> noise = flaxnoise.linen.DropBlock3D(0.2, block_size=3, deterministic=False)
        >>> y = noise.apply({}, jnp.ones((2, 7, 7, 7, 3)), rngs={"dropout": key})
    """

    block_size: int | Sequence[int] = 7
    _function = staticmethod(functional.drop_block_3d)
