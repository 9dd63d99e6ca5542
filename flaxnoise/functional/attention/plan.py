"""What a call of attention is, apart from its differentiable arrays, and the sizes of its tiles."""

import math
from typing import Any, NamedTuple

import jax

LOW = -1e30  # stands for −inf in scores: differences of it are never NaN
HIGH = 1e30  # the log of the softmax's denominator of a row that sees no key: exp(s − HIGH) is 0


class Plan(NamedTuple):
    """The static part of a call.

    Attributes:
        scale: factor of the products of queries and keys.
        soft_cap: bound of the scores, or None.
        causal: whether a query sees no later keys.
        window: how many keys before and after its own position a query sees, or None.
        drops: whether there is dropout at all.
        shared: whether batch and heads share one mask.
        whole: (batch, heads, queries, keys) of the array of weights that the mask belongs to; of
            the global array where this device has a shard.
        block_sizes: (queries, keys) of a tile as the caller wants them, or None.
        backend: the backend of the noise that is forced, or None.
    """

    scale: float
    soft_cap: float | None
    causal: bool
    window: tuple[int, int] | None
    drops: bool
    shared: bool
    whole: tuple[Any, int, int, int]
    block_sizes: tuple[int, int] | None
    backend: str | None


class Given(NamedTuple):
    """The arrays without a gradient; None where absent.

    Attributes:
        words: uint32[4], of the key.
        threshold: uint32[], of the rate.
        keep_scale: 1/P(keep).
        origin: uint32[4], the position in ``Plan.whole`` at which the arrays of this call start.
        mask: bool[B|1, N|1, T|1, S|1], True where a query may see a key.
        query_ids: int[B|1, T], segments.
        key_ids: int[B|1, S].
        query_ends: int[B], lengths of the global sequences.
        key_ends: int[B].
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
    """Sizes of a tile: queries by keys, for all of batch and heads."""

    rows: int
    columns: int


# Weights in a tile. On CPU a tile stays in the caches; on an accelerator it has to be worth some
# twenty kernel launches.
_CPU_WEIGHTS = 1 << 19
_ACCELERATOR_WEIGHTS = 1 << 25


def cpu_tile(plan: Plan, heads: Any, queries: int, keys: int) -> Tile:
    """256 queries by 512 keys for up to four heads, and less the more heads there are.

    Args:
        plan: of the call.
        heads: batch times heads.
        queries: T.
        keys: S.
    """
    columns = 512 if _known(heads) <= 32 else 256
    rows = _CPU_WEIGHTS // (_known(heads) * columns)
    return _tile(plan, queries, keys, min(max(rows, 64), 256), columns)


def accelerator_tile(plan: Plan, heads: Any, queries: int, keys: int) -> Tile:
    """1024 keys, which share the words of the mask, and as many queries as fill a tile."""
    rows = _ACCELERATOR_WEIGHTS // (_known(heads) * 1024)
    most = 4096 if plan.window is None and not plan.causal else 1024
    return _tile(plan, queries, keys, min(max(rows, 128), most), 1024)


def _known(heads: Any) -> int:
    """A symbolic number of heads counts as one."""
    return max(heads, 1) if isinstance(heads, int) else 1


def _tile(plan: Plan, queries: int, keys: int, rows: int, columns: int) -> Tile:
    """Tiles of nearly the same size, none of them mostly padding; of the caller's sizes, if any."""
    rows, columns = plan.block_sizes or (rows, columns)
    tile = Tile(_part(queries, rows, 8), _part(keys, columns, 128))
    if plan.whole[3] != keys and keys % 4 and tile.columns < keys:
        # A shard of keys that begins inside of a block of the generator: the noise takes tiles of a
        # multiple of four, in rows of such, for ones that begin where a block does.
        return tile._replace(columns=tile.columns | 1)
    return tile


def _part(size: int, most: int, multiple: int) -> int:
    if size <= most:
        return max(size, 1)
    part = math.ceil(size / math.ceil(size / most))
    return min(most, math.ceil(part / multiple) * multiple)
