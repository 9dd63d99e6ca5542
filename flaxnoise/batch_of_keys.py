"""One key for each example of a batch."""

import functools
from collections.abc import Callable
from typing import Any

import jax

from flaxnoise import arguments


def per_example(function: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """Makes a function of flaxnoise take a batch of keys: example i of x gets the noise of keys[i].

    The same as jax.vmap over keys and x, for batches of any rank, with everything else shared. So
    the noise of an example does not depend on the batch that it is in.

    Args:
        function: called as ``function(key, x, …)``, such as ``flaxnoise.dropout``.

    Returns:
        A function of (keys, x, …): the leading dimensions of x are those of keys, and the further
        arguments are those for one example. It raises ValueError where the dimensions differ, and
        TypeError where keys are none.

    Example:
        >>> keys = jax.random.split(key, 33)
        >>> y = flaxnoise.per_example(flaxnoise.dropout)(keys, x, 0.5)
        >>> bool((y[7] == flaxnoise.dropout(keys[7], x[7], 0.5)).all())
        True

        And with a layer:

        >>> layer = flaxnoise.nnx.Dropout(0.5)
        >>> z = flaxnoise.per_example(lambda key, x: layer(x, key=key))(keys, x)
        >>> bool((z == y).all())
        True
    """
    owner = f"per_example({getattr(function, '__name__', 'function')})"

    @functools.wraps(function)
    def batched(keys: jax.Array, x: jax.Array, *args: Any, **kwargs: Any) -> jax.Array:
        batch = arguments.key_batch(owner, keys)
        shape = tuple(getattr(x, "shape", ()))
        if shape[: len(batch)] != batch:
            raise ValueError(
                f"{owner}: keys must have the leading dimensions of x, got keys of shape {batch} "
                f"and x of shape {shape}."
            )

        def one(key: jax.Array, x: jax.Array) -> jax.Array:
            return function(key, x, *args, **kwargs)

        for _ in batch:
            one = jax.vmap(one)
        return one(keys, x)

    return batched
