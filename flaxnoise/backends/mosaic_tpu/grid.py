"""The TPU kernel's division of arrays into blocks: rows of tiles of 128 columns."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from flaxnoise.stream.index import CHUNK
from flaxnoise.stream.sizes import needs_64_bits

LANES = 128
SUBLANES = 32  # rows of a step: registers enough to keep all units busy
MOST_TILES = CHUNK // LANES
BLOCK_BYTES = 1 << 20  # of 32-bit numbers; in and out, twice each, take a quarter of the memory

_WIDEST_PERIOD = 1 << 13  # elements of rows that are whole chunks together; for SUBLANES of them
_WIDEST = 1 << 20  # columns of a row that the kernel's 32-bit offsets inside of a block allow


class Grid(NamedTuple):
    """How examples of ``rows`` rows are divided into blocks.

    Attributes:
        rows: of an example.
        columns: of a row.
        stride: of the linear index from one row to the next.
        period: of the rows that begin at the same place of a chunk of 1024 elements, where so many
            rows after another are whole chunks: then masks use both halves of each word. Else None.
        wide: whether an index may need more than 32 bits.
    """

    rows: int
    columns: int
    stride: int
    period: int | None
    wide: bool

    @property
    def alignment(self) -> int:
        """What the linear index of the first element must be a multiple of."""
        return CHUNK if self.period else 4

    @property
    def is_interleaved(self) -> bool:
        """Whether the two halves of a word belong to different rows."""
        return self.period is not None and self.period > 1

    @property
    def tiles(self) -> int:
        """Tiles of 128 columns in a block."""
        tiles = ceil_divide(self.columns, LANES)
        return tiles if self.is_interleaved else ceil_divide(tiles, ceil_divide(tiles, MOST_TILES))

    @property
    def row_groups(self) -> int:
        """Groups of SUBLANES rows in a step, such that its tiles are a multiple of four."""
        if self.period is not None and self.is_interleaved:
            return self.period
        if self.period == 1:
            return 2 if self.rows >= 4 * SUBLANES else 1  # two fill the bundles better
        return 4 // math.gcd(4, self.tiles)

    @property
    def block_rows(self) -> int:
        """Rows of a block, a multiple of those of a step."""
        step = SUBLANES * self.row_groups
        most = max(1, BLOCK_BYTES // (4 * LANES * self.tiles * step))
        return step * min(most, ceil_divide(self.rows, step))

    @property
    def is_worth_it(self) -> bool:
        """Whether no more than half of the rows of all steps are in vain."""
        step = SUBLANES * self.row_groups
        return ceil_divide(self.rows, step) * step <= 2 * self.rows

    @property
    def blocks(self) -> tuple[int, int]:
        """Blocks along the rows and along the columns."""
        columns = ceil_divide(self.columns, LANES * self.tiles)
        return ceil_divide(self.rows, self.block_rows), columns


def grids_of(shape: Sequence[int], whole: Sequence[int], wide: bool = False) -> tuple[Grid, ...]:
    """The ways to divide examples, the fastest first; later ones need less alignment of the start.

    Rows stay as they are where their length is a multiple of four and fills most lanes, and where
    there are enough of them to fill a step; else each row is a chunk. Empty where a shard's
    elements are consecutive in the global array in neither way.
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
    step = SUBLANES * period  # of rows; of less than two, too many would be in vain
    return period if columns * period <= _WIDEST_PERIOD and rows >= 2 * step else None


def ceil_divide(a: int, b: int) -> int:
    """a / b, rounded up."""
    return -(-a // b)


def _is_one_run(shape: Sequence[int], whole: Sequence[int]) -> bool:
    """Whether the elements of a shard are consecutive in the global array."""
    first = next((axis for axis, size in enumerate(shape) if size != 1), len(shape))
    return tuple(shape[first + 1 :]) == tuple(whole[first + 1 :])
