"""How jitted functions become a part of the program that calls them."""

from typing import Any

import jax

# While it is traced: a flat program, in which a kernel sees whose array it is given. jax 0.10 has
# no other way and calls it True; later, True may leave it to the lowering.
_INLINE: Any = getattr(jax, "Inline", None)
FLAT: Any = True if _INLINE is None else _INLINE.JAX_EARLY
