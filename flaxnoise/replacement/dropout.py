"""The replacement for __call__ of Flax's Dropout classes."""

import numbers
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen, nnx

from flaxnoise import functional
from flaxnoise.layer import number


def call_dropout(
    call: Callable[..., Any],
    module: linen.Dropout | nnx.Dropout,
    inputs: jax.Array,
    *args: Any,
    **kwargs: Any,
) -> jax.Array:
    """Calls flaxnoise.dropout where Flax draws a mask, and does what Flax does elsewhere.

    Args:
        call: Flax's ``__call__`` of the module, called for its error if an argument is missing.
        module: a Dropout, or an instance of a subclass that does not override ``__call__``.
        inputs: x.
        *args: further positional arguments of the call.
        **kwargs: keyword arguments of the call.

    Returns:
        An array like inputs.
    """
    is_linen = isinstance(module, linen.Module)
    deterministic, rngs = (_arguments_of_linen if is_linen else _arguments_of_nnx)(
        module, *args, **kwargs
    )
    if deterministic:
        return inputs
    rate = number(module.rate)
    if isinstance(rate, numbers.Real) and rate in (0, 1):  # as in Flax, for integers too
        return inputs if rate == 0 else jnp.zeros_like(inputs)
    key = (
        module.make_rng(module.rng_collection) if is_linen and rngs is None else _key(module, rngs)
    )
    if deterministic is None or key is None:
        return call(inputs, *args, **kwargs)
    return functional.dropout(key, inputs, module.rate, broadcast_dims=module.broadcast_dims)


def _arguments_of_linen(
    module: Any, deterministic: bool | None = None, rng: jax.Array | None = None
) -> tuple[bool | None, jax.Array | None]:
    return linen.merge_param("deterministic", module.deterministic, deterministic), rng


def _arguments_of_nnx(
    module: Any, *, deterministic: bool | None = None, rngs: Any = None
) -> tuple[bool | None, Any]:
    deterministic = module.deterministic if deterministic is None else deterministic
    return deterministic, module.rngs if rngs is None else rngs


def _key(module: Any, rngs: Any) -> jax.Array | None:
    """The next key from rngs of the types that Flax accepts; None for other types."""
    if isinstance(rngs, nnx.Rngs):
        rngs = rngs[module.rng_collection]
    if isinstance(rngs, nnx.RngStream):
        return rngs()
    return rngs if isinstance(rngs, jax.Array) else None
