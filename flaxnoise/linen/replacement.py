"""Flax's dropout computed by flaxnoise, in models that were written with flax.linen."""

from collections.abc import Callable
from typing import Any

from flax import linen as nn
from flax import nnx

from flaxnoise.replacement import Replaced, Report


def replace_dropout(
    function: Callable[..., Any],
    *,
    strict: bool = False,
    report: Callable[[Report], object] | None = None,
) -> Replaced:
    """Makes a function compute all of Flax's dropout, wherever it calls it, by flaxnoise.

    For models that cannot be changed. Reached are flax.linen.Dropout and subclasses that keep its
    ``__call__``, in modules at any depth; ``dot_product_attention`` and
    ``dot_product_attention_weights``, whoever calls them and under whatever name; and the same of
    nnx, where nnx.bridge leads there. Parameters, streams, and programs that draw nothing stay as
    they are. It may be applied before or after jax.jit or flax.linen.jit.

    Args:
        function: such as ``model.apply`` or a training step.
        strict: whether dropout that is not reached raises.
        report: called with a Report before the first call of each kind, such as ``print``.
            This and strict trace the function once more.

    Returns:
        A function of the same arguments. It warns where its first call meets no dropout.

    Raises:
        TypeError: function is a module, or cannot be called.

    Example:
        >>> from flax import linen
        >>> model = linen.Sequential([linen.Dense(5), linen.Dropout(0.5, deterministic=False)])
        >>> variables = model.init({"params": key, "dropout": key}, x)
        >>> apply = jax.jit(flaxnoise.linen.replace_dropout(model.apply, strict=True))
        >>> y = apply(variables, x, rngs={"dropout": key})
    """
    if isinstance(function, nn.Module):
        raise TypeError(
            "replace_dropout: function must be a function, got the module "
            f"{type(function).__name__}. Pass its apply, or the training step that calls it."
        )
    if isinstance(function, nnx.Module) or not callable(function):
        raise TypeError(
            f"replace_dropout: function must be a function, got {type(function).__name__}. "
            "A module of nnx is for flaxnoise.nnx.replace_dropout."
        )
    return Replaced(function, strict, report)
