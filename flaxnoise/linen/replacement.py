"""Replaces Flax's dropout by flaxnoise in existing linen models."""

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
    """Replaces Flax's dropout by flaxnoise wherever a function calls it.

    For models whose code cannot be changed. It replaces flax.linen.Dropout, and subclasses that do
    not override its ``__call__``, in modules at any depth; the dropout of ``dot_product_attention``
    and ``dot_product_attention_weights``, by whatever name they are called; and those of nnx inside
    nnx.bridge. Parameters, streams and deterministic calls do not change. It may be applied before
    or after jax.jit or flax.linen.jit.

    Args:
        function: a function such as ``model.apply`` or a training step.
        strict: whether to raise if some dropout is not replaced.
        report: a function such as ``print``, called with a Report before the first call with
            arguments of a new structure, shape or dtype. This and strict trace the function an
            additional time.

    Returns:
        A function of the same arguments, which warns if its first call has no dropout.

    Raises:
        TypeError: function is a module, or not callable.

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
