"""Building blocks for your own noise functions: a public API, as stable as the functions.

A noise is one function, which checks its arguments and computes the coefficients of
y = x·(a + b·n) + (c + d·n), n being one of the kinds of noise in flaxnoise/stream/kinds.py. The
guide "Adding a noise" shows one, with its layers. The base classes of layers are in
``flaxnoise.linen.base`` and ``flaxnoise.nnx.base``.
"""

import jax
import jax.numpy as jnp

from flaxnoise import arguments as arguments
from flaxnoise.affine import draw as _draw
from flaxnoise.functional.certain import same_for_every_key as same_for_every_key
from flaxnoise.functional.formula import apply as apply
from flaxnoise.functional.formula import bernoulli as bernoulli
from flaxnoise.functional.formula import finite as finite
from flaxnoise.functional.formula import precision as precision


def draw(kind: str, key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Draws n as float32: the noise that ``apply`` uses for the same kind and key.

    Args:
        kind: name of a kind of noise, such as "normal".
        key: a jax.random key, typed or raw; under vmap, a batch of them.
        shape: shape of the result.

    Returns:
        A float32 array.

    Example:
        >>> n = flaxnoise.extend.draw("normal", key, (33, 129))
        >>> bool((n == flaxnoise.random.normal(key, (33, 129))).all())
        True
    """
    return _draw(kind, arguments.single_key("draw", key), tuple(shape), jnp.float32)
