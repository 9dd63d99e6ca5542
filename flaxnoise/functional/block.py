"""DropBlock: dropout of contiguous blocks of feature maps."""

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from flaxnoise import arguments, random
from flaxnoise.affine.inlining import FLAT
from flaxnoise.functional.certain import same_for_every_key
from flaxnoise.functional.formula import explicit_sharding, precision


@same_for_every_key(rate=(0, 1))
def drop_block_1d(
    key: jax.Array,
    x: jax.Array,
    rate: jax.typing.ArrayLike,
    *,
    block_size: int | Sequence[int] = 7,
) -> jax.Array:
    """Drops blocks of sequences and scales the rest: y = x·keep/P(keep).

    ``drop_block_2d`` in one dimension of space.

    Args:
        key: a jax.random key, typed or raw; under vmap, a batch of them.
        x: floating or complex array [*batch, time, features].
        rate: share dropped, as in ``drop_block_2d``.
        block_size: side of a block.

    Returns:
        An array of x's shape and dtype.

    Raises:
        TypeError: as in ``drop_block_2d``.
        ValueError: as in ``drop_block_2d``.

    Example:
        >>> y = flaxnoise.drop_block_1d(key, jnp.ones((4, 17, 3)), 0.2, block_size=3)
    """
    return _drop_block("drop_block_1d", key, x, rate, block_size, 1)


@same_for_every_key(rate=(0, 1))
def drop_block_2d(
    key: jax.Array,
    x: jax.Array,
    rate: jax.typing.ArrayLike,
    *,
    block_size: int | Sequence[int] = 7,
) -> jax.Array:
    """Drops blocks of images and scales the rest: y = x·keep/P(keep).

    Each position at which a block fits into the map is hit with probability
    γ = 1 − (1 − rate)^(f/(b·v)), where f is the number of the map's positions, b that of a block
    and v that of the places where a block fits; a hit drops the whole block. Each image and feature
    has blocks of its own. f/(b·v) is one over the mean number of blocks that cover a position, so
    that the mean of log P(keep) over the map is log(1 − rate).

    γ agrees with the paper's, rate·f/(b·v), to first order in rate, but never exceeds 1, and makes
    up for blocks that overlap: rate 1 drops all. Where a block is larger than the map, it is the
    map. P(keep) is (1 − γ) to the power of the number of blocks that cover the position, fewer at
    the border; dividing by it makes the mean of y x at every position, whatever the rest of the
    batch does. (The paper divides by the share kept in the whole batch.)

    Ghiasi et al., "DropBlock: a regularization method for convolutional networks", NeurIPS 2018.

    Args:
        key: a jax.random key, typed or raw; under vmap, a batch of them.
        x: floating or complex array [*batch, height, width, features].
        rate: share dropped, in [0, 1]; a number. May be traced; then it is not checked: below 0
            counts as 0, above 1 and NaN as 1. Has no gradient.
        block_size: side of a block; one number or one for each dimension of space.

    Returns:
        An array of x's shape and dtype.

    Raises:
        TypeError: key is no key, x is not floating or complex, rate is not real, block_size is not
            made of integers.
        ValueError: x has too few dimensions, rate outside [0, 1] or no scalar, block_size below 1
            or of the wrong length, a batch of keys.

    Example:
        >>> y = flaxnoise.drop_block_2d(key, jnp.ones((4, 17, 17, 3)), 0.2, block_size=5)
    """
    return _drop_block("drop_block_2d", key, x, rate, block_size, 2)


@same_for_every_key(rate=(0, 1))
def drop_block_3d(
    key: jax.Array,
    x: jax.Array,
    rate: jax.typing.ArrayLike,
    *,
    block_size: int | Sequence[int] = 7,
) -> jax.Array:
    """Drops blocks of volumes and scales the rest: y = x·keep/P(keep).

    ``drop_block_2d`` in three dimensions of space.

    Args:
        key: a jax.random key, typed or raw; under vmap, a batch of them.
        x: floating or complex array [*batch, depth, height, width, features].
        rate: share dropped, as in ``drop_block_2d``.
        block_size: side of a block; one number or one for each dimension of space.

    Returns:
        An array of x's shape and dtype.

    Raises:
        TypeError: as in ``drop_block_2d``.
        ValueError: as in ``drop_block_2d``.

    Example:
        >>> y = flaxnoise.drop_block_3d(key, jnp.ones((2, 7, 7, 7, 3)), 0.2, block_size=3)
    """
    return _drop_block("drop_block_3d", key, x, rate, block_size, 3)


def _drop_block(
    owner: str,
    key: jax.Array,
    x: jax.Array,
    rate: jax.typing.ArrayLike,
    block_size: int | Sequence[int],
    space: int,
) -> jax.Array:
    x = arguments.inexact(owner, x, complex_too=True)
    arguments.at_least_dimensions(owner, x, space + 1)
    arguments.rate(owner, rate, ())
    sides = arguments.sides(owner, "block_size", block_size, space)
    sides = tuple(min(pair) for pair in zip(sides, x.shape[-1 - space : -1], strict=True))
    key = arguments.single_key(owner, key)
    return x if x.size == 0 or arguments.is_zero(rate) else _blocks(key, x, rate, sides)


@functools.partial(jax.jit, static_argnames="sides", inline=FLAT)
def _blocks(key: jax.Array, x: jax.Array, rate: jax.Array, sides: tuple[int, ...]) -> jax.Array:
    # Drawn again for the backward pass, so that no mask is kept for it.
    words = arguments.key_words(key)
    return jax.checkpoint(functools.partial(_multiplied, sides=sides))(words, x, rate)


def _multiplied(
    key: jax.Array, x: jax.Array, rate: jax.Array, *, sides: tuple[int, ...]
) -> jax.Array:
    space = len(sides)
    batch, maps, features = x.shape[: -1 - space], x.shape[-1 - space : -1], x.shape[-1]
    valid = tuple(size - side + 1 for size, side in zip(maps, sides, strict=True))
    exponent = math.prod(maps) / (math.prod(sides) * math.prod(valid))
    gamma = hit_rate(rate, exponent)
    hit = ~random.keep_mask(key, (*batch, *valid, features), gamma)
    window = (1,) * len(batch) + sides + (1,)
    # A position is dropped if one of the places of which it is in the block is hit.
    around = [(0, 0)] * len(batch) + [(side - 1, side - 1) for side in sides] + [(0, 0)]
    dropped = lax.reduce_window(hit, False, lax.bitwise_or, window, (1,) * x.ndim, around)
    scale = _scale(random.realised_rate(gamma), maps, sides, precision(x))
    factor = jnp.where(dropped, jnp.zeros((), scale.dtype), scale[..., None])
    sharding = explicit_sharding(x)
    if sharding is not None:  # each device has drawn the whole
        factor = jax.sharding.reshard(factor, sharding)
    wide = x if jnp.issubdtype(x.dtype, jnp.complexfloating) else x.astype(factor.dtype)
    part = (wide * factor.astype(wide.dtype)).astype(x.dtype)
    return jnp.where(factor == 0, jnp.zeros((), x.dtype), jnp.where(factor == 1, x, part))


def hit_rate(rate: jax.Array, exponent: float) -> jax.Array:
    """γ = 1 − (1 − rate)^exponent, 0 and 1 at the ends."""
    rate = jnp.asarray(rate, jnp.float32)
    rate = jnp.where(rate < 1, jnp.maximum(rate, 0), 1)
    return -jnp.expm1(exponent * jnp.log1p(-rate))


def _scale(
    realised: jax.Array, maps: tuple[int, ...], sides: tuple[int, ...], dtype: jnp.dtype
) -> jax.Array:
    """1/P(keep) of each position of a map, 0 where nothing is ever kept."""
    cover = jnp.ones((), dtype)
    for size, side in zip(maps, sides, strict=True):
        position = jnp.arange(size)
        first = jnp.maximum(position - side + 1, 0)
        last = jnp.minimum(position, size - side)
        cover = cover[..., None] * (last - first + 1).astype(dtype)
    kept = realised < 1
    log_keep = jnp.log1p(-jnp.where(kept, realised, 0).astype(dtype))
    return jnp.where(kept, jnp.exp(-cover * log_keep), 0)
