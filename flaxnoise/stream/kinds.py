"""The kinds of noise, one row each. Every backend asks this table."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from flaxnoise.stream import variates

# The upper byte of the counter's third word, so that nothing under one key shares a block with
# another kind. The last three derive keys from keys.
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
        name: what the primitive and the C++ kernel call it.
        domain: of the blocks that it reads.
        reads: "half": the 16 bits of an element, refined by its partner's; "word": 32 bits of its
            own; "pair": the two words that it shares with a neighbour.
        map: n of what an element reads; (u, threshold), (word,) or (a, b, odd).
        dtype: of n.
        drops: whether there is a threshold.
        may_be_0: whether n, as a number, may be exactly 0.
        has_root: whether the map takes a square root.
        where_dropped: n is that of this kind where the mask of the key drops, else 0.
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
    # The u that is compared with thresholds, for backends that compare it themselves.
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
