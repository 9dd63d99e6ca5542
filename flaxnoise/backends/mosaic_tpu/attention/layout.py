"""How the arrays of attention are laid out for the kernels: tiles, padding, order of the keys.

A block of Philox gives the words of four consecutive keys of a query. If weights are dropped, the
keys of each group of 512 are reordered: key 4·b + w, which reads word w of block b, is at position
128·w + b. Each word of a register of blocks then is the noise of a register of weights, in the
forward pass with blocks along lanes and in the backward pass with blocks along sublanes; no word
has to move. Keys, values, and the last dimension of bias, mask and segments are reordered by XLA.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from flaxnoise.backends.mosaic_tpu.grid import LANES, ceil_divide
from flaxnoise.stream.index import CHUNK, HALF, split
from flaxnoise.stream.sizes import needs_64_bits

GROUP = HALF  # keys that are reordered together
MOST_KEYS = 1 << 25  # of a row, for 32-bit offsets inside a tile

# Columns of the table of scalars; positions (from t0 on) are stored as the bits of an int32.
WORDS = ("k0", "k1", "k2", "k3", "low", "high", "threshold", "t0", "s0", "row", "t_end", "s_end")


class Layout(NamedTuple):
    """The static part of both kernels.

    Attributes:
        plan: plan of the call.
        queries: number of queries without padding.
        keys: number of keys without padding.
        rows: queries in a tile.
        columns: keys in a tile, a multiple of GROUP.
        read: how weights read the stream: "chunk" if rows consist of whole chunks, so that both
            halves of a word are used; "block" if they start at a block; else "any".
        ends: whether there are lengths of queries or keys.
    """

    plan: Any
    queries: int
    keys: int
    rows: int
    columns: int
    read: str
    ends: bool

    @classmethod
    def of(cls, plan: Any, arrays: Any, given: Any, most_rows: int) -> "Layout":
        """The layout of a call.

        Args:
            plan: plan of the call.
            arrays: (q, k, v, bias).
            given: arrays without a gradient.
            most_rows: queries in a tile by default.
        """
        queries, keys = arrays[0].shape[1], arrays[1].shape[1]
        rows, columns = plan.block_sizes or (most_rows, CHUNK)
        rows = min(rows, queries, most_rows)
        columns = CHUNK if min(columns, keys) > GROUP else GROUP
        stride = plan.global_shape[3]
        read = "any" if keys % 4 or stride % 4 else "block"
        if keys % CHUNK == stride % CHUNK == 0 and columns == CHUNK:
            read = "chunk"
        ends = given.query_ends is not None or given.key_ends is not None
        return cls(plan, queries, keys, ceil_divide(rows, LANES) * LANES, columns, read, ends)

    @property
    def blocks(self) -> tuple[int, int]:
        """Number of tiles along queries and keys."""
        return ceil_divide(self.queries, self.rows), ceil_divide(self.keys, self.columns)

    @property
    def wide(self) -> bool:
        """Whether indices may exceed 32 bits."""
        return needs_64_bits(self.plan.global_shape)

    @property
    def pieces(self) -> int:
        """Registers of 128 keys in a tile."""
        return self.columns // LANES

    def by_rows(self, x: jax.Array, axis: int, value: float = 0) -> jax.Array:
        """Pads an axis of queries to whole tiles."""
        return _padded(x, axis, self.blocks[0] * self.rows, value)

    def by_keys(self, x: jax.Array, axis: int) -> jax.Array:
        """Pads an axis of keys to whole tiles, and reorders it if weights are dropped."""
        x = _padded(x, axis, self.blocks[1] * self.columns)
        return self._reordered(x, axis, (GROUP // 4, 4))

    def from_keys(self, x: jax.Array, axis: int) -> jax.Array:
        """The inverse of ``by_keys``."""
        x = self._reordered(x, axis, (4, GROUP // 4))
        return jax.lax.slice_in_dim(x, 0, self.keys, axis=axis)

    def _reordered(self, x: jax.Array, axis: int, group: tuple[int, int]) -> jax.Array:
        if not self.plan.drops:
            return x
        split_up = x.reshape(*x.shape[:axis], -1, *group, *x.shape[axis + 1 :])
        return jnp.swapaxes(split_up, axis + 1, axis + 2).reshape(x.shape)


def per_weight(
    layout: Layout, x: jax.Array | None, *, is_mask: bool, along: int
) -> jax.Array | None:
    """A bias or mask [B|1, N|1, T|1, S|1], padded, in a dtype that the kernels can load.

    In the backward pass, along = 0, a bfloat16 bias becomes float32: on v5e libtpu 0.0.50 aborts.
    """
    if x is None:
        return None
    dtype = jnp.int8 if is_mask else x.dtype
    stays = dtype == jnp.int8 or (dtype == jnp.bfloat16 and along == 1)
    if 1 in x.shape[2:] or not stays:
        dtype = jnp.int32 if is_mask else jnp.float32
    x = x.astype(dtype)
    x = x if x.shape[2] == 1 else layout.by_rows(x, 2)
    return x if x.shape[3] == 1 else layout.by_keys(x, 3)


def table(plan: Any, given: Any, shape: tuple[int, int], first_row: Any = 0) -> jax.Array:
    """uint32[B, N, 1, len(WORDS)], the scalars of each head.

    Args:
        plan: plan of the call.
        given: arrays without a gradient.
        shape: (B, N).
        first_row: position of the first query among those of this device.
    """
    _, heads, queries, keys = plan.global_shape
    zero = jnp.zeros((4,), jnp.uint32)
    origin = zero if given.origin is None else given.origin
    key = zero if given.words is None else given.words
    with jax.enable_x64(True):
        b, n = (jax.lax.broadcasted_iota(jnp.uint64, shape, axis) for axis in (0, 1))
        first = origin.astype(jnp.uint64)
        head = (b + first[0]) * jnp.uint64(heads) + n + first[1]
        row = first[2] + jnp.zeros_like(head) if plan.shared else head * queries + first[2]
        low, high = split(row * jnp.uint64(keys) + first[3])
    most = jnp.full(shape[:1], jnp.iinfo(jnp.int32).max, jnp.int32)
    ends = [most if own is None else own for own in (given.query_ends, given.key_ends)]
    threshold = zero[0] if given.threshold is None else given.threshold
    row_words = jnp.asarray(first_row).astype(jnp.uint32)
    columns = [*(key[i] for i in range(4)), low, high, threshold, origin[2], origin[3], row_words]
    columns += [end.astype(jnp.int32).astype(jnp.uint32)[:, None] for end in ends]
    return jnp.stack([jnp.broadcast_to(own, shape) for own in columns], -1)[:, :, None]


def _padded(x: jax.Array, axis: int, size: int, value: float = 0) -> jax.Array:
    if x.shape[axis] == size:
        return x
    widths = [(0, size - x.shape[axis] if own == axis else 0) for own in range(x.ndim)]
    return jnp.pad(x, widths, constant_values=value)
