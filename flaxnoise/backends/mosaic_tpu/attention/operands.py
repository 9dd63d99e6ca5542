"""Operands of the two kernels, with the blocks in which they are read."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from flaxnoise.backends.mosaic_tpu.attention.layout import Layout, per_weight
from flaxnoise.backends.mosaic_tpu.grid import LANES, SUBLANES

Axis = Callable[..., Any]  # program ids → index of a block


class Operands:
    """Arrays by name, each with its block. The first two program ids are example and head.

    Attributes:
        along: the axis of keys in a tile: 1 forward, 0 backward.
    """

    def __init__(self, layout: Layout, of_query: Axis, of_key: Axis, along: int) -> None:
        self.layout, self.along = layout, along
        self.of_query, self.of_key = of_query, of_key
        self.arrays: dict[str, jax.Array] = {}
        self.specs: list[pl.BlockSpec] = []

    def add(self, name: str, x: jax.Array, block: Sequence[int], at: Axis, *, smem: bool = False):
        """Adds an array [B|1, N|K|1, …]; ``at`` gives the last two indices of its block."""
        batch, heads = x.shape[:2]
        space: Any = {"memory_space": pltpu.SMEM} if smem else {}

        def index(b: Any, n: Any, *ids: Any) -> tuple[Any, ...]:
            group = self.heads // heads
            # Not n // group: Mosaic's floor division asks for a device.
            head = 0 if heads == 1 else n if group == 1 else lax.div(n, jnp.int32(group))
            return (b if batch > 1 else 0, head, *at(*ids))

        self.arrays[name] = x
        self.specs.append(pl.BlockSpec((None, None, *block), index, **space))

    def add_all(self, table: jax.Array, keep_scale: jax.Array | None, arrays: Any, given: Any):
        """The operands of both kernels."""
        layout, rows, columns = self.layout, self.layout.rows, self.layout.columns
        q, k, v, bias = arrays
        self.heads = q.shape[2]
        first = lambda *_: (0, 0)  # noqa: E731
        self.add("table", table, table.shape[2:], first, smem=True)
        one = jnp.ones((1, 1, 1, 1), jnp.float32)
        scale = one if keep_scale is None else keep_scale.astype(jnp.float32) * one
        self.add("keep_scale", scale, (1, 1), first, smem=True)
        query, key = self.of_query, self.of_key
        self.add("q", by_head(layout.by_rows(q, 1)), (rows, q.shape[3]), lambda *i: (query(*i), 0))
        for name, x in (("k", k), ("v", v)):
            x = by_head(layout.by_keys(x, 1))
            self.add(name, x, (columns, x.shape[3]), lambda *i: (key(*i), 0))
        per_tile = {
            name: per_weight(layout, x, is_mask=name == "mask", along=self.along)
            for name, x in (("bias", bias), ("mask", given.mask))
        }
        if given.query_ids is not None and given.key_ids is not None:
            per_tile["query_ids"] = layout.by_rows(given.query_ids, 1)[:, None, :, None]
            per_tile["key_ids"] = layout.by_keys(given.key_ids, 1)[:, None, None]
        for name, x in per_tile.items():
            if x is not None:
                self._add_per_tile(name, x.astype(jnp.int32) if "ids" in name else x)

    def _add_per_tile(self, name: str, x: jax.Array) -> None:
        """An array [B|1, N|1, T|1, S|1]; its last axes in the order of the tile's."""
        rows, columns = (
            1 if size == 1 else block
            for size, block in zip(
                x.shape[2:], (self.layout.rows, self.layout.columns), strict=True
            )
        )

        def at(*ids: Any) -> tuple[Any, Any]:
            i = 0 if rows == 1 else self.of_query(*ids)
            j = 0 if columns == 1 else self.of_key(*ids)
            return (i, j) if self.along else (j, i)

        block = (rows, columns) if self.along else (columns, rows)
        self.add(name, x if self.along else x.swapaxes(2, 3), block, at)

    def parts(self, refs: dict[str, Any], row: Any, column: int) -> Callable[[str], Any]:
        """Registers of the arrays per tile: SUBLANES rows from ``row``, piece ``column``."""

        def part(name: str) -> jax.Array | None:
            if name not in refs:
                return None
            ref = refs[name]
            rows = pl.ds(0, 1) if ref.shape[0] == 1 else pl.ds(row, SUBLANES)
            columns = pl.ds(0, 1) if ref.shape[1] == 1 else pl.ds(column * LANES, LANES)
            return ref[rows, columns]

        return part


def by_head(x: jax.Array) -> jax.Array:
    """[B, T, N, D] ↔ [B, N, T, D]."""
    return x.swapaxes(1, 2)


def parallel(grid: Sequence[int], *, last: int) -> pltpu.CompilerParams:
    """Compiler parameters for a grid whose ``last`` axes run in order."""
    names: Any = ["parallel"] * (len(grid) - last) + ["arbitrary"] * last
    return pltpu.CompilerParams(dimension_semantics=tuple(names))


def result(like: jax.Array, shape: Sequence[int], dtype: Any) -> jax.ShapeDtypeStruct:
    """The type of a result of pallas_call, which shard_map with check_vma wants to be complete."""
    axes = getattr(jax.typeof(like), "manual_axis_type", None)
    own = {} if axes is None else {"manual_axis_type": axes}
    return jax.ShapeDtypeStruct(shape, dtype, **own)
