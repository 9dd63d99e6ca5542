"""The parameters and nondifferentiable arrays of an attention call, and the sizes of its tiles."""

import math
from typing import Any, NamedTuple

import jax

LOW = -1e30  # used for −inf in scores, since LOW − LOW is not NaN
HIGH = 1e30  # lse of a query that sees no key, since exp(s − HIGH) is 0


class Plan(NamedTuple):
    """The static part of a call.

    Attributes:
        scale: factor of the products of queries and keys.
        soft_cap: bound of the scores, or None.
        causal: whether later keys are masked.
        window: how many keys before and after its own position a query sees, or None.
        drops: whether dropout is applied: false if rate is the number 0.
        shared: whether batch and heads share one mask.
        global_shape: shape (batch, heads, queries, keys) of the weights, which is that of the mask.
        block_sizes: (queries, keys) of a tile as given by the caller, or None.
        backend: forced backend of the noise, or None.
    """

    scale: float
    soft_cap: float | None
    causal: bool
    window: tuple[int, int] | None
    drops: bool
    shared: bool
    global_shape: tuple[Any, int, int, int]
    block_sizes: tuple[int, int] | None
    backend: str | None


class Given(NamedTuple):
    """The arrays without a gradient; None where absent.

    Attributes:
        words: uint32[4], the words of the key.
        threshold: uint32[], the threshold of the rate.
        keep_scale: 1/P(keep).
        origin: uint32[4], the position in ``Plan.global_shape`` where this call starts.
        mask: bool[B|1, N|1, T|1, S|1], True where a query may see a key.
        query_ids: int[B|1, T], segments of the queries.
        key_ids: int[B|1, S], segments of the keys.
        query_ends: int[B], lengths of the sequences of queries, in global positions.
        key_ends: int[B], lengths of the sequences of keys, in global positions.
    """

    words: jax.Array | None = None
    threshold: jax.Array | None = None
    keep_scale: jax.Array | None = None
    origin: jax.Array | None = None
    mask: jax.Array | None = None
    query_ids: jax.Array | None = None
    key_ids: jax.Array | None = None
    query_ends: jax.Array | None = None
    key_ends: jax.Array | None = None


class Tile(NamedTuple):
    """Numbers of queries and keys in a tile, which spans all of batch and heads."""

    rows: int
    columns: int


# Weights in a tile. On CPU a tile must fit the caches; on an accelerator it must be large enough to
# amortise some twenty kernel launches.
_CPU_WEIGHTS = 1 << 19
_ACCELERATOR_WEIGHTS = 1 << 25


def cpu_tile(plan: Plan, heads: Any, queries: int, keys: int) -> Tile:
    """256 queries by 512 keys for up to four heads, and fewer for more; up to 128 queries at once.

    Args:
        plan: plan of the call.
        heads: batch times heads.
        queries: T.
        keys: S.
    """
    columns = 512 if _known(heads) <= 32 else 256
    rows = _CPU_WEIGHTS // (_known(heads) * columns)
    # Many heads of short sequences: a loop costs more than tiles that exceed the caches.
    least = 128 if _known(queries) <= 128 else 64
    return _tile(plan, queries, keys, min(max(rows, least), 256), columns)


def accelerator_tile(plan: Plan, heads: Any, queries: int, keys: int) -> Tile:
    """1024 keys, and as many queries as fill a tile."""
    rows = _ACCELERATOR_WEIGHTS // (_known(heads) * 1024)
    most = 4096 if plan.window is None and not plan.causal else 1024
    return _tile(plan, queries, keys, min(max(rows, 128), most), 1024)


def _known(size: Any) -> int:
    """A number of heads or queries; 1 if it is symbolic."""
    return max(size, 1) if isinstance(size, int) else 1


def _tile(plan: Plan, queries: int, keys: int, rows: int, columns: int) -> Tile:
    """Tiles of nearly equal sizes, so that none is mostly padding; at most those of block_sizes."""
    rows, columns = plan.block_sizes or (rows, columns)
    tile = Tile(_part(queries, rows, 8), _part(keys, columns, 128))
    if plan.global_shape[3] != keys and keys % 4 and tile.columns < keys:
        # The shard may start inside a Philox block of four words. If the widths of tiles and rows
        # are multiples of four, backends assume that tiles start at a block; an odd width is safe.
        return tile._replace(columns=tile.columns | 1)
    return tile


def _part(size: int, most: int, multiple: int) -> int:
    if size <= most:
        return max(size, 1)
    part = math.ceil(size / math.ceil(size / most))
    return min(most, math.ceil(part / multiple) * multiple)
