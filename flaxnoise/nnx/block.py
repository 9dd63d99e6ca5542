"""DropBlock: dropout of contiguous blocks."""

import dataclasses
from collections.abc import Sequence

from flaxnoise import functional
from flaxnoise.nnx.base import Noise, Number


class DropBlock1D(Noise):
    """Drops blocks of sequences and scales the rest.

    Layer version of ``flaxnoise.drop_block_1d``.

    Args:
        rate: share dropped, in [0, 1]. Given here or at call time.
        block_size: length of a block.
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


class DropBlock2D(Noise):
    """Drops blocks of images and scales the rest.

    Layer version of ``flaxnoise.drop_block_2d``.

    Args:
        rate: share dropped, in [0, 1]. Given here or at call time.
        block_size: side of a block; one number, or one for each spatial dimension.
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


class DropBlock3D(Noise):
    """Drops blocks of volumes and scales the rest.

    Layer version of ``flaxnoise.drop_block_3d``.

    Args:
        rate: share dropped, in [0, 1]. Given here or at call time.
        block_size: side of a block; one number, or one for each spatial dimension.
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
