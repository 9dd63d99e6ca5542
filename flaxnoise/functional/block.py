"""DropBlock: dropout of contiguous blocks of feature maps."""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from flaxnoise import arguments, random
from flaxnoise.affine import (
    FLAT,
    Location,
    draw,
    linear_index,
    shard_of,
    threshold,
    weakly_typed_as,
)
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

    ``drop_block_2d`` with one spatial dimension.

    Args:
        key: a jax.random key, typed or raw; under vmap, a batch of them.
        x: floating or complex array [*batch, time, features].
        rate: share dropped, as in ``drop_block_2d``.
        block_size: length of a block.

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

    Each block that fits into the map is dropped as a whole with probability
    γ = 1 − (1 − rate)^(f/(b·v)). Here f is the number of positions in the map, b the number of
    positions in a block, and v the number of blocks that fit, overlapping ones included. Each image
    and feature draws its own blocks. A position is covered by b·v/f blocks on average, so that the
    mean of log P(keep) over the map is log(1 − rate).

    γ equals the paper's rate·f/(b·v) to first order in rate, but accounts for overlapping blocks
    and never exceeds 1: rate 1 drops everything. Blocks larger than the map are clipped to its
    size. P(keep) of a position is (1 − γ)^k, where k is the number of blocks that cover it, smaller
    at the border. Dividing by it makes x the mean of y at every position, independently of the rest
    of the batch. (The paper divides by the share kept in the whole batch.)

    Ghiasi et al., "DropBlock: a regularization method for convolutional networks", NeurIPS 2018.

    Args:
        key: a jax.random key, typed or raw; under vmap, a batch of them.
        x: floating or complex array [*batch, height, width, features].
        rate: share dropped, in [0, 1]; a number. May be traced. A rate that is traced or on an
            accelerator is not checked: values below 0 count as 0, values above 1 and NaN as 1. Has
            no gradient.
        block_size: side of a block; one number, or one for each spatial dimension.

    Returns:
        An array of x's shape and dtype.

    Raises:
        TypeError: key is not a key, x is not floating or complex, rate is not real, block_size is
            not made of integers.
        ValueError: x has too few dimensions, rate outside [0, 1] or not a scalar, block_size below
            1 or of the wrong length, a batch of keys.

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

    ``drop_block_2d`` with three spatial dimensions.

    Args:
        key: a jax.random key, typed or raw; under vmap, a batch of them.
        x: floating or complex array [*batch, depth, height, width, features].
        rate: share dropped, as in ``drop_block_2d``.
        block_size: side of a block; one number, or one for each spatial dimension.

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
    key = arguments.single_key(owner, key)
    return x if x.size == 0 or arguments.is_zero(rate) else _blocks(key, x, rate, sides)


@functools.partial(jax.jit, static_argnames="sides", inline=FLAT)
def _blocks(key: jax.Array, x: jax.Array, rate: jax.Array, sides: tuple[int, ...]) -> jax.Array:
    # The backward pass draws the mask again instead of storing it.
    words = arguments.key_words(key)
    return jax.checkpoint(functools.partial(_multiplied, sides=sides))(words, x, rate)


def _multiplied(
    key: jax.Array, x: jax.Array, rate: jax.Array, *, sides: tuple[int, ...]
) -> jax.Array:
    maps = _Maps.of(x, sides)
    gamma = hit_rate(rate, maps.exponent)
    dropped = _dropped(maps, key, gamma)
    scale = _scale(maps, random.realised_rate(gamma), precision(x))
    factor = jnp.where(dropped, jnp.zeros((), scale.dtype), scale[..., None])
    sharding = explicit_sharding(x)
    if sharding is not None:  # the factor is replicated: each device has drawn all of it
        factor = jax.sharding.reshard(factor, sharding)
    wide = x if jnp.issubdtype(x.dtype, jnp.complexfloating) else x.astype(factor.dtype)
    part = (wide * factor.astype(wide.dtype)).astype(x.dtype)
    y = jnp.where(factor == 0, jnp.zeros((), x.dtype), jnp.where(factor == 1, x, part))
    return weakly_typed_as(y, x)


class _Maps(NamedTuple):
    """Feature maps [*batch, *space, features], or this device's shard of them.

    Attributes:
        local: shape on this device.
        global_shape: global shape.
        offsets: position of the shard in the global array; None if it is not sharded.
        sides: of a block, clipped to those of a map.
    """

    local: tuple[int, ...]
    global_shape: tuple[int, ...]
    offsets: tuple[jax.Array | int, ...] | None
    sides: tuple[int, ...]

    @classmethod
    def of(cls, x: jax.Array, sides: tuple[int, ...]) -> "_Maps":
        global_shape, offsets = shard_of(x.shape) or (x.shape, None)
        maps = global_shape[-1 - len(sides) : -1]
        return cls(x.shape, global_shape, offsets, tuple(map(min, sides, maps)))

    @property
    def space(self) -> range:
        """The spatial axes."""
        return range(len(self.local) - 1 - len(self.sides), len(self.local) - 1)

    def along(self, axis: int) -> tuple[int, int, jax.Array | int, int]:
        """Local size, global size, offset and side of a block along a spatial axis."""
        offset = 0 if self.offsets is None else self.offsets[axis]
        return self.local[axis], self.global_shape[axis], offset, self.sides[axis - self.space[0]]

    @property
    def exponent(self) -> float:
        """f/(b·v), the inverse of the mean number of blocks that cover a position."""
        sizes = [self.global_shape[axis] for axis in self.space]
        places = [size - side + 1 for size, side in zip(sizes, self.sides, strict=True)]
        return math.prod(sizes) / (math.prod(self.sides) * math.prod(places))


def _dropped(maps: _Maps, key: jax.Array, gamma: jax.Array) -> jax.Array:
    """Mask of the positions of this shard that a dropped block covers.

    A block extends side − 1 positions beyond its first one. A shard therefore draws for the blocks
    that begin in it and for those that begin up to side − 1 positions before it.
    """
    drawn, places = list(maps.local), list(maps.global_shape)
    first = list(maps.offsets or (0,) * len(drawn))
    for axis in maps.space:
        size, total, offset, side = maps.along(axis)
        places[axis] = total - side + 1
        drawn[axis] = min(size + side - 1, places[axis])
        first[axis] = 0
        if drawn[axis] < places[axis]:
            first[axis] = jnp.clip(offset - (side - 1), 0, places[axis] - drawn[axis])
    location = Location()
    if maps.offsets is not None:
        location = Location(linear_index(first, places), tuple(places))
    drop = threshold(gamma)
    kept = draw("keep", key, tuple(drawn), jnp.bool_, threshold=drop, location=location)
    window, around = [1] * len(drawn), [(0, 0)] * len(drawn)
    for axis, side in zip(maps.space, maps.sides, strict=True):
        window[axis], around[axis] = side, (side - 1, side - 1)
    # A position is dropped if any block that covers it is.
    dropped = lax.reduce_window(
        ~kept, False, lax.bitwise_or, tuple(window), (1,) * len(drawn), around
    )
    for axis in maps.space:
        size, total, offset, _ = maps.along(axis)
        if size != total:
            dropped = lax.dynamic_slice_in_dim(dropped, offset - first[axis], size, axis)
    return dropped


def hit_rate(rate: jax.Array, exponent: float) -> jax.Array:
    """γ = 1 − (1 − rate)^exponent; exactly 0 at rate 0 and 1 at rate 1."""
    rate = jnp.asarray(rate, jnp.float32)
    rate = jnp.where(rate < 1, jnp.maximum(rate, 0), 1)
    return -jnp.expm1(exponent * jnp.log1p(-rate))


def _scale(maps: _Maps, realised: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """1/P(keep) of each position of a map, 0 where P(keep) is 0."""
    cover = jnp.ones((), dtype)
    for axis in maps.space:
        size, total, offset, side = maps.along(axis)
        position = jnp.arange(size) + offset
        first = jnp.maximum(position - side + 1, 0)
        last = jnp.minimum(position, total - side)
        cover = cover[..., None] * (last - first + 1).astype(dtype)
    kept = realised < 1
    log_keep = jnp.log1p(-jnp.where(kept, realised, 0).astype(dtype))
    return jnp.where(kept, jnp.exp(-cover * log_keep), 0)
