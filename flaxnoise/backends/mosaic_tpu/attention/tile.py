"""What both kernels compute on a tile: scores, which keys a query sees, and the dropout mask.

A register is uint32 or float32[SUBLANES, 128]: queries by keys in the forward pass, keys by queries
in the backward pass.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from flaxnoise.backends.mosaic_tpu.attention.layout import GROUP, WORDS, Layout
from flaxnoise.backends.mosaic_tpu.grid import LANES, MOST_TILES
from flaxnoise.backends.mosaic_tpu.registers import iota, sum64
from flaxnoise.stream.index import half_address
from flaxnoise.stream.kinds import DOMAINS, KINDS
from flaxnoise.stream.noise import counter, swapped
from flaxnoise.stream.philox import multiply_halves, philox4x32

LOW, HIGH = -1e30, 1e30  # as in functional.attention.plan


class Tile(NamedTuple):
    """Tile (i, j) of one head.

    Attributes:
        layout: the layout of the call.
        scalars: the head's row of the table, by name.
        i: index of the block of queries.
        j: index of the block of keys.
        along: the axis of keys in a register: 1 forward, 0 backward.
    """

    layout: Layout
    scalars: dict[str, jax.Array]
    i: jax.Array
    j: jax.Array
    along: int

    @classmethod
    def at(cls, layout: Layout, ref: Any, i: jax.Array, j: jax.Array, along: int) -> "Tile":
        """The tile, with scalars read from the table."""
        return cls(layout, {w: ref[0, at] for at, w in enumerate(WORDS)}, i, j, along)

    def is_seen(self) -> Any:
        """Whether, by causality and window, any query may see any key; True if not known."""
        layout, plan = self.layout, self.layout.plan
        top, left = self._t0() + self.i * layout.rows, self._s0() + self.j * layout.columns
        bottom, right = top + (layout.rows - 1), left + (layout.columns - 1)
        rules = [left <= bottom] if plan.causal else []
        if plan.window is not None:
            rules += [right >= top - plan.window[0], left <= bottom + plan.window[1]]
        seen = True
        for rule in rules:
            seen = rule if seen is True else seen & rule
        return seen

    def visible(self, row: Any, piece: Any, block: Any) -> list[jax.Array]:
        """Conditions, all of which hold where a query of the register sees a key of it.

        Args:
            row: the first query of the register, in the tile.
            piece: the register of keys, 128 each.
            block: the first key of the register, among those of the piece.
        """
        layout, plan = self.layout, self.layout.plan
        lane, sublane = iota(1).astype(jnp.int32), iota(0).astype(jnp.int32)
        of_queries, of_keys = (sublane, lane) if self.along else (lane, sublane)
        t = self._t0() + self.i * layout.rows + row + of_queries
        key = self.j * layout.columns
        if plan.drops:
            group, word = piece // 4, piece % 4
            key = key + group * GROUP + word + 4 * (block + of_keys)
        else:
            key = key + piece * LANES + block + of_keys
        s = self._s0() + key
        rules = [key < layout.keys] if layout.keys % layout.columns else []
        if plan.causal:
            rules.append(s <= t)
        if plan.window is not None:
            rules += [s >= t - plan.window[0], s <= t + plan.window[1]]
        if layout.ends:
            rules += [t < self._int("t_end"), s < self._int("s_end")]
        return rules

    def kept(self, row: Any, block: Any) -> list[jax.Array]:
        """The mask of all pieces of the tile, one register each.

        Args:
            row: the first query of the registers, in the tile.
            block: the first block of the registers, of the 128 of each group.
        """
        layout = self.layout
        stride = jnp.uint32(layout.plan.global_shape[3])
        lane, sublane = iota(1), iota(0)
        of_queries, of_blocks = (sublane, lane) if self.along else (lane, sublane)
        row = self.scalars["row"] + (self.i * layout.rows + row).astype(jnp.uint32)
        high, low = multiply_halves(layout.plan.global_shape[3], row)
        first = sum64((self.scalars["low"], self.scalars["high"]), (low, high))
        key = (self.j * layout.columns).astype(jnp.uint32)
        first = sum64(first, (key, jnp.uint32(0)))
        offset = of_queries * stride + ((of_blocks + jnp.asarray(block, jnp.uint32)) << 2)
        u: list[jax.Array] = []
        if layout.read == "chunk":
            for chunk in range(layout.pieces // MOST_TILES):
                lower = self._words(first, offset + jnp.uint32(chunk * 2 * GROUP))[0]
                u += [*lower, *map(swapped, lower)]
        else:
            for group in range(layout.columns // GROUP):
                u += self._group(first, offset + jnp.uint32(group * GROUP))
        return [KINDS["keep"].map(own, self.scalars["threshold"]) for own in u]

    def _group(self, first: Any, offset: jax.Array) -> list[jax.Array]:
        """u of a group of 512 keys, whose rows need not start at a chunk or at a block."""
        if self.layout.read == "block":
            return self._oriented(first, offset)
        phase = (first[0] + offset) & jnp.uint32(3)
        # The four keys are in two blocks, at words that depend on where the row starts. The start
        # of the first block may lie before ``first``, so it is subtracted with a borrow of 2^64.
        back = (jnp.uint32(0) - phase, jnp.where(phase > 0, jnp.uint32(0xFFFFFFFF), 0))
        own = sum64((first[0] + offset, self._high(first, offset)), back)
        words = [*self._oriented_at(*own)]
        after = own[0] + jnp.uint32(4)
        words += self._oriented_at(after, own[1] + (after < own[0]).astype(jnp.uint32))
        odd, far = (phase & 1) != 0, (phase & 2) != 0
        return [
            jnp.where(
                far,
                jnp.where(odd, words[w + 3], words[w + 2]),
                jnp.where(odd, words[w + 1], words[w]),
            )
            for w in range(4)
        ]

    def _high(self, first: Any, offset: jax.Array) -> jax.Array:
        return first[1] + (first[0] + offset < offset).astype(jnp.uint32)

    def _words(self, first: Any, offset: jax.Array) -> tuple[Any, jax.Array]:
        low = first[0] + offset
        return self._words_at(low, self._high(first, offset))

    def _words_at(self, low: jax.Array, high: jax.Array) -> tuple[Any, jax.Array]:
        """The words of the blocks, and which of their elements are upper."""
        k0, k1, k2, k3 = (self.scalars[name] for name in ("k0", "k1", "k2", "k3"))
        at = half_address(low, high if self.layout.wide else None)
        block = counter((k0, k1, k2, k3), at[0], at[1], DOMAINS["keep"])
        return philox4x32(block, (k0, k1), multiply_halves), at[3]

    def _oriented(self, first: Any, offset: jax.Array) -> list[jax.Array]:
        return self._oriented_at(first[0] + offset, self._high(first, offset))

    def _oriented_at(self, low: jax.Array, high: jax.Array) -> list[jax.Array]:
        words, upper = self._words_at(low, high)
        return [jnp.where(upper, swapped(word), word) for word in words]

    def _int(self, name: str) -> jax.Array:
        return self.scalars[name].astype(jnp.int32)

    def _t0(self) -> jax.Array:
        return self._int("t0") + self._int("row")

    def _s0(self) -> jax.Array:
        return self._int("s0")


def finished(
    plan: Any,
    s: jax.Array,
    rules: list[jax.Array],
    part: Callable[[str], jax.Array | None],
) -> jax.Array:
    """cap(scale·s + bias), and LOW where a query does not see a key; float32.

    ``part`` gives the registers of "bias", "mask", "query_ids" and "key_ids", or None.
    """
    s = s * jnp.float32(plan.scale)
    bias = part("bias")
    if bias is not None:
        s = s + bias.astype(jnp.float32)
    if plan.soft_cap is not None:
        capped = plan.soft_cap * jnp.tanh(s / jnp.float32(plan.soft_cap))
        s = capped if bias is None else jnp.where(s <= LOW / 2, jnp.float32(LOW), capped)
    mask, mine, theirs = part("mask"), part("query_ids"), part("key_ids")
    if mask is not None:
        rules = [*rules, mask.astype(jnp.int32) != 0]
    if mine is not None:
        rules = [*rules, mine == theirs]
    for rule in rules:
        s = jnp.where(rule, s, jnp.float32(LOW))
    return s


def dot(a: jax.Array, b: jax.Array, of_a: int, of_b: int) -> jax.Array:
    """The product of two matrices over axis of_a of a and axis of_b of b, in float32."""
    return lax.dot_general(a, b, (((of_a,), (of_b,)), ((), ())), preferred_element_type=jnp.float32)
