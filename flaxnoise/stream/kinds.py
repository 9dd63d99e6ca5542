"""The table of the kinds of noise, one row per kind; every backend reads it."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from flaxnoise.stream import variates

# The upper byte of the counter's third word: under one key, different domains share no block. The
# last three domains derive keys.
DOMAINS = {
    "bits": 0,
    "keep": 1,
    "normal": 2,
    "uniform": 3,
    "laplace": 4,
    "unit_uniform": 5,
    "seed": 6,
    "split": 7,
    "fold_in": 8,
}


class Kind(NamedTuple):
    """A kind of noise.

    Attributes:
        name: its name in the primitive and in the C++ kernel.
        domain: domain of the blocks that it reads.
        reads: what an element reads. "half": 16 bits of its own followed by its partner's 16;
            "word": 32 bits of its own; "pair": two words that it shares with a neighbour.
        map: function from what is read to n: of (u, threshold) for "half", (word,) for "word",
            (a, b, odd) for "pair".
        dtype: dtype of n.
        drops: whether the kind takes a threshold.
        may_be_0: whether n, as a number, may be exactly 0.
        has_root: whether the map takes a square root.
        where_dropped: another kind. n is the noise of that kind where the key's mask drops the
            element, and 0 where it keeps it.
    """

    name: str
    domain: int
    reads: Literal["half", "word", "pair"]
    map: Callable[..., jax.Array]
    dtype: Any = jnp.float32
    drops: bool = False
    may_be_0: bool = False
    has_root: bool = False
    where_dropped: str | None = None


_ROWS = (
    Kind("bits", DOMAINS["bits"], "word", lambda word: word, jnp.uint32, may_be_0=True),
    Kind("keep", DOMAINS["keep"], "half", variates.keep, jnp.bool_, drops=True),
    # u itself, for backends that compare it with the threshold outside of their kernel.
    Kind("halves", DOMAINS["keep"], "half", lambda u, _: u, jnp.uint32, may_be_0=True),
    Kind("normal", DOMAINS["normal"], "pair", variates.normal, has_root=True),
    Kind(
        "masked_normal",
        DOMAINS["normal"],
        "pair",
        variates.normal,
        drops=True,
        may_be_0=True,
        has_root=True,
        where_dropped="normal",
    ),
    Kind("uniform", DOMAINS["uniform"], "word", variates.uniform),
    Kind("unit_uniform", DOMAINS["unit_uniform"], "word", variates.unit_uniform),
    Kind("laplace", DOMAINS["laplace"], "word", variates.laplace),
)

KINDS = {row.name: row for row in _ROWS}
