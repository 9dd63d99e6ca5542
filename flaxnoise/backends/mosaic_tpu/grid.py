"""The grid of the TPU kernel: blocks of rows, each row in tiles of 128 columns."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from flaxnoise.stream.index import CHUNK
from flaxnoise.stream.sizes import needs_64_bits

LANES = 128
SUBLANES = 32  # rows of one operation: enough registers to keep all units busy
MOST_TILES = CHUNK // LANES
BLOCK_BYTES = 1 << 20  # of 32-bit elements; x and y, double-buffered, take a quarter of VMEM

_WIDEST_PERIOD = 1 << 13  # most elements of a period of rows; a step holds SUBLANES periods
_WIDEST = 1 << 20  # largest stride of rows, for the kernel's 32-bit offsets inside a block


class Grid(NamedTuple):
    """A division of examples into blocks.

    Attributes:
        rows: rows per example.
        columns: elements per row.
        stride: distance of the linear index from one row to the next.
        period: number of consecutive rows that make up whole chunks of 1024 elements, so that
            masks use both halves of each word; None if they do not.
        wide: whether indices may exceed 32 bits.
    """

    rows: int
    columns: int
    stride: int
    period: int | None
    wide: bool

    @property
    def alignment(self) -> int:
        """Required divisor of the linear index of the first element."""
        return CHUNK if self.period else 4

    @property
    def is_interleaved(self) -> bool:
        """Whether the two halves of a word may belong to different rows."""
        return self.period is not None and self.period > 1

    @property
    def tiles(self) -> int:
        """Tiles of 128 columns per block."""
        tiles = ceil_divide(self.columns, LANES)
        return tiles if self.is_interleaved else ceil_divide(tiles, ceil_divide(tiles, MOST_TILES))

    @property
    def row_groups(self) -> int:
        """Groups of SUBLANES rows per step, so that a step has a multiple of four tiles."""
        if self.period is not None and self.is_interleaved:
            return self.period
        if self.period == 1:
            return 2 if self.rows >= 4 * SUBLANES else 1  # two groups fill the bundles better
        return 4 // math.gcd(4, self.tiles)

    @property
    def block_rows(self) -> int:
        """Rows per block, a multiple of the rows per step."""
        step = SUBLANES * self.row_groups
        most = max(1, BLOCK_BYTES // (4 * LANES * self.tiles * step))
        return step * min(most, ceil_divide(self.rows, step))

    @property
    def is_worth_it(self) -> bool:
        """Whether at most half of the rows that the steps compute are padding."""
        step = SUBLANES * self.row_groups
        return ceil_divide(self.rows, step) * step <= 2 * self.rows

    @property
    def blocks(self) -> tuple[int, int]:
        """Number of blocks along rows and columns."""
        columns = ceil_divide(self.columns, LANES * self.tiles)
        return ceil_divide(self.rows, self.block_rows), columns


def grids_of(shape: Sequence[int], whole: Sequence[int], wide: bool = False) -> tuple[Grid, ...]:
    """The possible grids, the fastest first; later ones need less alignment of the start.

    The rows of the array are kept if their length is a multiple of four and fills more than half of
    the lanes, and if the steps are at least half full. Otherwise each row of the grid is a chunk,
    which needs a shard whose elements are consecutive in the global array. Empty if neither is
    possible.
    """
    wide = wide or needs_64_bits(whole)
    grids: tuple[Grid, ...] = ()
    if shape and _is_one_run(shape[:-1], whole[:-1]):
        rows, columns, stride = math.prod(shape[:-1]), shape[-1], whole[-1]
        lanes = ceil_divide(columns, LANES) * LANES
        if columns % 4 == stride % 4 == 0 and 2 * columns > lanes and stride <= _WIDEST:
            grid = Grid(rows, columns, stride, None, wide)
            period = _period(rows, columns, stride)
            grids = (grid,) if period is None else (grid._replace(period=period),)
            if grids[0].is_interleaved:
                grids = (*grids, grid)
            if grids[0].is_worth_it:
                return grids
    if _is_one_run(shape, whole):
        chunks = Grid(ceil_divide(math.prod(shape), CHUNK), CHUNK, CHUNK, 1, wide)
        grids = (chunks, *(grid for grid in grids if grid.alignment < chunks.alignment))
    return grids


def _period(rows: int, columns: int, stride: int) -> int | None:
    if columns % CHUNK == stride % CHUNK == 0:
        return 1
    if columns != stride or columns % LANES:
        return None
    period = CHUNK // math.gcd(CHUNK, columns)
    step = SUBLANES * period  # rows per step; with fewer than two steps, too much would be padding
    return period if columns * period <= _WIDEST_PERIOD and rows >= 2 * step else None


def ceil_divide(a: int, b: int) -> int:
    """a / b, rounded up."""
    return -(-a // b)


def _is_one_run(shape: Sequence[int], whole: Sequence[int]) -> bool:
    """Whether the elements of a shard are consecutive in the global array."""
    first = next((axis for axis, size in enumerate(shape) if size != 1), len(shape))
    return tuple(shape[first + 1 :]) == tuple(whole[first + 1 :])
