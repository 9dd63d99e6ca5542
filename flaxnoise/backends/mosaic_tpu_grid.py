"""How the TPU kernel cuts arrays into blocks: rows of tiles of 128 columns."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from flaxnoise.stream.index import CHUNK

LANES = 128
SUBLANES = 32  # rows of a step: registers enough to keep all units busy
MOST_TILES = CHUNK // LANES
BLOCK_BYTES = 1 << 20  # of 32-bit numbers; in and out, twice each, take a quarter of the memory

_WIDEST = 1 << 20  # columns of a row that the kernel's 32-bit offsets inside of a block allow


class Grid(NamedTuple):
    """How examples of ``rows`` rows are cut into blocks.

    Attributes:
        rows: of an example.
        columns: of a row.
        stride: of the linear index from one row to the next.
        whole_chunks: whether rows are whole chunks of 1024 elements, and begin at multiples of
            1024: then masks use both halves of each word.
        wide: whether an index may need more than 32 bits.
    """

    rows: int
    columns: int
    stride: int
    whole_chunks: bool
    wide: bool

    @property
    def alignment(self) -> int:
        """What the linear index of the first element must be a multiple of."""
        return CHUNK if self.whole_chunks else 4

    @property
    def tiles(self) -> int:
        """Tiles of 128 columns in a block."""
        tiles = ceil_divide(self.columns, LANES)
        return ceil_divide(tiles, ceil_divide(tiles, MOST_TILES))

    @property
    def row_groups(self) -> int:
        """Groups of SUBLANES rows in a step, such that its tiles are a multiple of four."""
        return 4 // math.gcd(4, self.tiles)

    @property
    def block_rows(self) -> int:
        """Rows of a block, a multiple of those of a step."""
        step = SUBLANES * self.row_groups
        most = max(1, BLOCK_BYTES // (4 * LANES * self.tiles * step))
        return step * min(most, ceil_divide(self.rows, step))

    @property
    def blocks(self) -> tuple[int, int]:
        """Blocks along the rows and along the columns."""
        columns = ceil_divide(self.columns, LANES * self.tiles)
        return ceil_divide(self.rows, self.block_rows), columns


def grid_of(shape: Sequence[int], whole: Sequence[int]) -> Grid | None:
    """Rows as they are where they divide by four and fill most lanes, else rows of a chunk each.

    None where the elements of a shard follow one another in neither way in the whole array.
    """
    wide = math.prod(whole) > 1 << 32
    if shape and _is_one_run(shape[:-1], whole[:-1]):
        columns, stride = shape[-1], whole[-1]
        lanes = ceil_divide(columns, LANES) * LANES
        if columns % 4 == stride % 4 == 0 and 2 * columns > lanes and stride <= _WIDEST:
            chunks = columns % CHUNK == stride % CHUNK == 0
            return Grid(math.prod(shape[:-1]), columns, stride, chunks, wide)
    if _is_one_run(shape, whole):
        return Grid(ceil_divide(math.prod(shape), CHUNK), CHUNK, CHUNK, True, wide)
    return None


def ceil_divide(a: int, b: int) -> int:
    """a / b, rounded up."""
    return -(-a // b)


def _is_one_run(shape: Sequence[int], whole: Sequence[int]) -> bool:
    """Whether the elements of a shard follow one another in the global array."""
    cut = next((axis for axis, size in enumerate(shape) if size != 1), len(shape))
    return tuple(shape[cut + 1 :]) == tuple(whole[cut + 1 :])
