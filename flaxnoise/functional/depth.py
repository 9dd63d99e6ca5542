"""Stochastic depth: drops whole rows of a residual branch, or skips computing them."""

import functools
import math
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp

from flaxnoise import arguments, random
from flaxnoise.affine import FLAT, is_shard, weakly_typed_as
from flaxnoise.functional.certain import same_for_every_key
from flaxnoise.functional.formula import apply, bernoulli, precision

Mode = Literal["row", "batch"]


@same_for_every_key(rate=(0, 1))
def drop_path(
    key: jax.Array,
    x: jax.Array,
    rate: jax.typing.ArrayLike,
    *,
    mode: Mode = "row",
    scale: bool = True,
) -> jax.Array:
    """Drops whole rows, or the whole batch, and scales the rest: y = x·keep/P(keep).

    Used on the branch of a residual block: ``x + drop_path(key, branch(x), rate)``. The mask has
    one entry for each index of dimension 0 (mode "row") or a single entry (mode "batch").

    Huang et al., "Deep networks with stochastic depth", ECCV 2016. Equivalent to timm's DropPath
    and torchvision's StochasticDepth.

    Args:
        key: a jax.random key, typed or raw; under vmap, a batch of them.
        x: floating or complex array, rows first.
        rate: share of the rows dropped, as in ``dropout``.
        mode: "row" or "batch".
        scale: whether kept rows are divided by P(keep), so that the mean of y is x.

    Returns:
        An array of x's shape and dtype.

    Raises:
        TypeError: key is not a key, x is not floating or complex, rate is not real.
        ValueError: x is a scalar in mode "row", unknown mode, rate outside [0, 1] or not
            broadcastable to x, a batch of keys.

    Example:
        >>> y = x + flaxnoise.drop_path(key, jnp.tanh(x), 0.2)
    """
    x = arguments.inexact("drop_path", x, complex_too=True)
    arguments.one_of("drop_path", "mode", mode, ("row", "batch"))
    arguments.at_least_dimensions("drop_path", x, 1 if mode == "row" else 0)
    arguments.rate("drop_path", rate, x.shape)
    dims = tuple(range(1 if mode == "row" else 0, x.ndim))
    key = arguments.single_key("drop_path", key)
    scale = arguments.flag("drop_path", "scale", scale)
    return x if arguments.is_zero(rate) else _drop_path(key, x, rate, dims, scale)


def linear_rates(rate: jax.typing.ArrayLike, depth: int) -> list[jax.typing.ArrayLike]:
    """Computes rates that grow linearly with depth, one per block: rateᵢ = rate·i/(depth − 1).

    The first block has rate 0 and the last the full rate, as in timm and Swin. A single block has
    the full rate.

    Args:
        rate: rate of the last block; a number, may be traced.
        depth: number of blocks.

    Returns:
        The rates, as a list of numbers of rate's type.

    Raises:
        TypeError: depth is not an integer, or rate is not real.
        ValueError: depth below 1, or rate outside [0, 1].

    Example:
        >>> flaxnoise.linear_rates(0.5, 3)
        [0.0, 0.25, 0.5]
    """
    arguments.rate("linear_rates", rate, ())
    depth = arguments.count("linear_rates", "depth", depth)
    if depth == 1:
        return [rate]
    return [rate * (block / (depth - 1)) for block in range(depth)]


@same_for_every_key(rate=(0, 1))
def residual_drop_path(
    key: jax.Array,
    branch: Callable[[jax.Array], jax.Array],
    x: jax.Array,
    rate: float,
) -> jax.Array:
    """Adds a branch to random rows and computes only those: y = x + keep·branch(x)/P(keep).

    The number of kept rows is static: rows − ⌈rate·rows⌉, but at least 1 at rates below 1. The
    branch is evaluated on these rows alone, which saves its cost for the others. Every choice of
    that many rows is equally likely. P(keep) is the number of kept rows over that of all rows, so
    that the mean of y is x + branch(x). Rate 0 computes all rows, rate 1 none.

    Oquab et al., "DINOv2: learning robust visual features without supervision", TMLR 2024,
    section 5 ("efficient stochastic depth").

    Args:
        key: a jax.random key, typed or raw; under vmap, a batch of them.
        branch: maps rows to rows of the same shape and dtype, each row independently of the others.
        x: floating or complex array, rows first.
        rate: share of the rows dropped, in [0, 1]; a number, not traced.

    Returns:
        An array of x's shape and dtype.

    Raises:
        TypeError: key is not a key, x is not floating or complex, rate is not a number or is
            traced; branch changes the dtype.
        ValueError: x has no dimensions, rate outside [0, 1], a batch of keys, or branch changes the
            shape.
        NotImplementedError: under ``local_shard``.

    Example:
        >>> y = flaxnoise.residual_drop_path(key, jnp.tanh, x, 0.2)
    """
    owner = "residual_drop_path"
    key = arguments.single_key(owner, key)
    x = arguments.inexact(owner, x, complex_too=True)
    arguments.at_least_dimensions(owner, x, 1)
    rate = arguments.static_rate(owner, rate)
    arguments.function(owner, "branch", branch)
    if is_shard():
        raise NotImplementedError(
            f"{owner}: must not be called under local_shard, as it chooses among all rows; use "
            "drop_path, or fold_in_axes without local_shard."
        )
    rows = x.shape[0]
    kept = rows_kept(rows, rate)
    if kept == 0:
        return x
    if kept == rows:
        return x + _branch(owner, branch, x)
    # The transpose of this conversion makes the gradient weakly typed where x is.
    strong = jax.lax.convert_element_type(x, x.dtype)
    # Sorted, so that the rows are read and written in memory order.
    order = jnp.argsort(random.bits(key, (rows,)))
    chosen = jnp.sort(order[:kept])
    scale = jnp.asarray(rows / kept, precision(x))
    rows_of_branch = weakly_typed_as(strong[chosen], x)
    part = (_branch(owner, branch, rows_of_branch) * scale).astype(x.dtype)
    y = strong.at[chosen].add(part, indices_are_sorted=True, unique_indices=True)
    return weakly_typed_as(y, x)


def rows_kept(rows: int, rate: float) -> int:
    """How many rows ``residual_drop_path`` computes."""
    if rate in (0, 1) or rows == 0:
        return round(rows * (1 - rate))
    # Without rounding, ⌈0.07·100⌉ would be 8: the product is 7.000000000000001.
    return max(rows - math.ceil(round(rate * rows, 6)), 1)


def _branch(owner: str, branch: Callable[[jax.Array], jax.Array], x: jax.Array) -> jax.Array:
    y = branch(x)
    if not isinstance(y, jax.Array):
        raise TypeError(f"{owner}: branch must give an array, got {arguments.short(y)}.")
    if y.shape != x.shape:
        raise ValueError(
            f"{owner}: branch must keep the shape {x.shape} of its rows, got {y.shape}."
        )
    if y.dtype != x.dtype:
        raise TypeError(f"{owner}: branch must keep the dtype {x.dtype}, got {y.dtype}.")
    return y


@functools.partial(jax.jit, static_argnames=("dims", "scale"), inline=FLAT)
def _drop_path(
    key: jax.Array, x: jax.Array, rate: jax.Array, dims: tuple[int, ...], scale: bool
) -> jax.Array:
    drop, factor = bernoulli(rate, dtype=precision(x))
    return apply("keep", key, x, dims, threshold=drop, b=factor if scale else 1.0)
