"""What acts on the gradient alone."""

from typing import Any

import jax


def stop_gradient(x: Any) -> Any:
    """Gives x itself forward and no gradient backward: y = x, dy/dx = 0.

    Unlike ``dropout`` at rate 1, whose gradient is zero too, but whose output is zeros:
    stop_gradient freezes what comes before it, dropout at rate 1 removes it.

    Args:
        x: an array or a tree of arrays.

    Returns:
        The same values.

    Example:
        >>> y = flaxnoise.stop_gradient(x)
    """
    return jax.lax.stop_gradient(x)
