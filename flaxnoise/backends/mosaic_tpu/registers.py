"""Operations of the TPU kernel on words in registers: arrays of SUBLANES rows and 128 lanes."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental.pallas import tpu as pltpu

from flaxnoise.backends.mosaic_tpu.grid import LANES, SUBLANES


def spread(words: Sequence[jax.Array]) -> list[jax.Array]:
    """Permutes the four words of 128 blocks into the words of four tiles, in element order.

    The blocks of tile q are in lanes 32q to 32q + 31. Word w is rotated by 32w lanes, so that
    selects collect the words of each tile in one register, in which a gather sorts them.
    """
    lane = iota(1)
    quarter = lane >> jnp.uint32(5)
    odd, upper = (quarter & jnp.uint32(1)) != 0, (quarter & jnp.uint32(2)) != 0
    rotated = [words[0], *(pltpu.roll(words[w], 32 * w, 1) for w in (1, 2, 3))]
    half = [jnp.where(odd, rotated[(i + 1) % 4], rotated[i]) for i in range(4)]
    tiles = []
    for q in range(4):
        mine = jnp.where(upper, half[(2 - q) % 4], half[-q % 4])
        source = (((lane + jnp.uint32(q)) & jnp.uint32(3)) << jnp.uint32(5)) | (
            lane >> jnp.uint32(2)
        )
        tiles.append(
            jnp.take_along_axis(mine, source.astype(jnp.int32), axis=1, mode="promise_in_bounds")
        )
    return tiles


def iota(axis: int) -> jax.Array:
    """uint32[SUBLANES, 128]: the row (axis 0) or the lane (axis 1)."""
    return lax.broadcasted_iota(jnp.int32, (SUBLANES, LANES), axis).astype(jnp.uint32)


def sum64(
    a: tuple[jax.Array, jax.Array], b: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    """The sum of two numbers of 64 bits, each as (low, high) words."""
    low = a[0] + b[0]
    return low, a[1] + b[1] + (low < b[0]).astype(jnp.uint32)
