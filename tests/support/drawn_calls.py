"""Calls of the primitive drawn by hypothesis: a static form, and values for its operands.

A program is compiled for each form, and called with several sets of values.
"""

import math
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st

from affine_reference import DROPPING

Shape = tuple[int, ...]
THRESHOLDS = (0, 1, 1 << 30, 0x2ABCDEF1, (1 << 31) - 1, 1 << 31, 1 << 31)
ENDS = (0.0, 1.0)
# Products with 1.5, 1 + 2^-8 and 1 + 2^-11 are often halfway between two numbers.
ORDINARY = (1.5, -1.3, 1 / 0.7, 1 + 2.0**-8, 1 + 2.0**-11)
WILD = (*ENDS, *ORDINARY, np.inf, -np.inf, np.nan, -1.0)
# Odd starts, starts of a tile, and those next to 2^32 and to the end of the generator's blocks.
STARTS = (0, 4, 1021, 4096, 2**31 - 3, 2**32 - 1024, 2**32 - 3, 2**34 + 6, 2**45 + 1023)

WORDS = ("bits", "halves")  # the kinds that are words


@dataclass(frozen=True)
class Form:
    """The static part of a call.

    Attributes:
        kind: the kind of noise.
        shape: the shape of n.
        global_shape: the shape of the global array of n.
        dtype: the dtype of the result.
        batch: the batch sizes of vmap.
        operands: (name, shape with the batch dimensions, name of the dtype) of each operand.
    """

    kind: str
    shape: Shape
    global_shape: Shape | None
    dtype: str
    batch: Shape
    operands: tuple[tuple[str, Shape, str], ...]

    @property
    def params(self) -> dict[str, Any]:
        """The parameters of the primitive."""
        dtype = np.dtype(jnp.dtype(self.dtype))
        return {
            "kind": self.kind,
            "shape": self.shape,
            "global_shape": self.global_shape,
            "dtype": dtype,
        }

    @property
    def is_64_bit(self) -> bool:
        """Whether it needs jax's 64-bit mode."""
        dtypes = (self.dtype, *(dtype for *_, dtype in self.operands))
        return any(dtype in ("float64", "complex128") for dtype in dtypes)

    def values(self, seed: int | np.random.SeedSequence) -> dict[str, np.ndarray]:
        """Draws arrays for the operands, ordinary or with special values."""
        generator = np.random.default_rng(seed)
        mood = generator.choice(3)
        return {
            name: _values(name, shape, jnp.dtype(dtype), self, generator, mood)
            for name, shape, dtype in self.operands
        }


def _values(
    name: str, shape: Shape, dtype: Any, form: Form, generator: np.random.Generator, mood: int
) -> np.ndarray:
    if name == "key":
        words = generator.integers(0, 1 << 32, shape, np.uint32)
        return words if mood else words | np.uint32(0xFFFF0000)
    if name == "start":
        return _starts(shape, form, generator)
    if name == "threshold":
        return generator.choice(np.array(THRESHOLDS, np.uint32), shape)
    if name == "x":
        return _x(shape, dtype, generator, mood)
    pool = (ORDINARY, ENDS + ORDINARY[:1], WILD)[mood]
    return generator.choice(np.array(pool), shape).astype(dtype)


def _starts(shape: Shape, form: Form, generator: np.random.Generator) -> np.ndarray:
    """Draws (low, high) words of start indices in the global array, or of any index without one.

    If the rows of shard and array are multiples of four, so are the starts, as for every shard that
    jax makes; kernels rely on it.
    """
    whole = form.global_shape
    count = math.prod(shape[:-1])
    if whole is None:
        first = generator.choice(np.array(STARTS, np.uint64), count)
    else:
        first = np.zeros(count, np.uint64)
        for axis, (own, most) in enumerate(zip(form.shape, whole, strict=True)):
            corners = generator.integers(0, most - own + 1, count, np.uint64)
            first += corners * np.uint64(math.prod(whole[axis + 1 :]))
    if form.shape and form.shape[-1] % 4 == (whole or form.shape)[-1] % 4 == 0:
        first &= ~np.uint64(3)
    words = np.stack([first & np.uint64(0xFFFFFFFF), first >> np.uint64(32)], -1)
    return words.astype(np.uint32).reshape(shape)


def _x(shape: Shape, dtype: Any, generator: np.random.Generator, mood: int) -> np.ndarray:
    if jnp.issubdtype(dtype, jnp.complexfloating):
        part = jnp.finfo(dtype).dtype
        x = np.empty(shape, dtype)
        x.real, x.imag = (_x(shape, part, generator, mood) for _ in range(2))
        return x
    info = jnp.finfo(dtype)
    x = generator.normal(size=shape).astype(dtype)
    special = [0.0, -0.0, np.inf, -np.inf, np.nan, float(info.smallest_subnormal)]
    special += [-float(info.tiny) / 2, float(info.tiny), float(info.max) / 256]
    chosen = generator.choice(np.array(special), shape).astype(dtype)
    return np.where(generator.random(shape) < (0.1, 0.3, 0.6)[mood], chosen, x)


@dataclass(frozen=True)
class Range:
    """The range of calls for a backend.

    Attributes:
        dims: shapes of results, without the batch.
        dtypes: dtypes of x and results.
        batches: batch sizes of vmap.
        rows_alone: whether shards are only ranges of whole rows.
    """

    dims: tuple[Shape, ...]
    dtypes: tuple[str, ...] = ("float32", "bfloat16", "float16")
    batches: tuple[Shape, ...] = ((), (), (2,), (1, 3))
    rows_alone: bool = False


@st.composite
def forms(draw: st.DrawFn, given: Range) -> Form:
    """Draws a form of any kind, with operands of any compatible shape."""
    kinds = (
        "keep",
        "keep",
        "masked_normal",
        "normal",
        "uniform",
        "unit_uniform",
        "laplace",
        "bits",
        "halves",
    )
    kind = draw(st.sampled_from(kinds))
    dims, batch = draw(st.sampled_from(given.dims)), draw(st.sampled_from(given.batches))
    dtype = draw(st.sampled_from(given.dtypes))
    names = draw(st.sampled_from(TERMS)) if kind not in WORDS else ""
    if jnp.issubdtype(jnp.dtype(dtype), jnp.complexfloating):
        names = names.replace("c", "").replace("d", "") or "b"
    has_x = "a" in names or "b" in names
    precision = "float64" if dtype in ("float64", "complex128") else "float32"

    shape = draw(_reduced(dims)) if names and draw(st.integers(0, 3)) == 3 else dims
    operands = {"key": ((*draw(_reduced(batch)), 4), "uint32")}
    global_shape = None
    placed = draw(st.sampled_from(("no", "no", "start", "box")))
    if placed != "no":
        operands["start"] = ((*draw(_reduced(batch)), 2), "uint32")
    if placed == "box" and shape:
        global_shape = draw(_larger(shape, given.rows_alone))
    if kind in DROPPING:
        operands["threshold"] = (draw(_operand(batch, dims if names else shape)), "uint32")
    if has_x:
        operands["x"] = ((*draw(_reduced(batch)), *draw(_mostly(dims))), dtype)
    for name in names:
        operands[name] = (draw(_operand(batch, dims)), precision)
    result = dtype
    if not names:
        result = {"keep": "bool", **dict.fromkeys(WORDS, "uint32")}.get(kind, dtype)
    elif has_x and dtype in ("float32", "bfloat16") and draw(st.integers(0, 7)) == 7:
        result = {"float32": "bfloat16", "bfloat16": "float32"}[dtype]
    listed = tuple((name, *operands[name]) for name in ORDER if name in operands)
    return Form(kind, shape, global_shape, result, batch, listed)


ORDER = ("key", "start", "threshold", "x", "a", "b", "c", "d")
TERMS = ("b", "b", "ad", "ab", "abcd", "", "a", "ac", "bc", "bd", "abd", "c", "d", "cd")


@st.composite
def _reduced(draw: st.DrawFn, sizes: Shape) -> Shape:
    """Draws each of the sizes, or 1 instead."""
    return tuple(draw(st.sampled_from((size, 1))) for size in sizes)


@st.composite
def _mostly(draw: st.DrawFn, sizes: Shape) -> Shape:
    return draw(_reduced(sizes)) if draw(st.integers(0, 3)) == 3 else sizes


@st.composite
def _operand(draw: st.DrawFn, batch: Shape, dims: Shape) -> Shape:
    """Draws the shape of an operand: a scalar for all or per example, a row, a column, an array."""
    shapes = [(1,) * len(dims)] * 3 + [dims]
    shapes += [
        tuple(s if a == axis else 1 for a, s in enumerate(dims)) for axis in range(len(dims))
    ]
    return (*draw(_reduced(batch)), *draw(st.sampled_from(shapes)))


@st.composite
def _larger(draw: st.DrawFn, shape: Shape, rows_alone: bool) -> Shape:
    """Draws the shape of a global array that contains the shard, up to 2^46 elements."""
    more = st.sampled_from((0, 0, 1, 5, 12))
    inner = shape[1:] if rows_alone else tuple(size + draw(more) for size in shape[1:])
    first = draw(st.sampled_from((shape[0], shape[0] + 3, 1 << 20, 1 << 33)))
    return (max(first, shape[0]), *inner)
