"""Replaces Flax's dropout by flaxnoise in existing nnx models."""

from collections.abc import Callable
from typing import TypeVar

from flax import linen, nnx

from flaxnoise.nnx.existing import replace_in_model
from flaxnoise.replacement import Replaced, Report

Target = TypeVar("Target")


def replace_dropout(
    target: Target,
    *,
    strict: bool = False,
    report: Callable[[Report], object] | None = None,
) -> Target | Replaced:
    """Replaces Flax's dropout by flaxnoise in a model, or wherever a function calls it.

    A model is changed in place. Each flax.nnx.Dropout becomes a flaxnoise.nnx.Dropout; instances of
    subclasses compute dropout by flaxnoise if their ``__call__`` is that of Flax or calls it by
    super(). Flax's attention functions that are attributes, directly or in a functools.partial, are
    replaced as well. Linen models in nnx.bridge.ToNNX are called within
    ``flaxnoise.linen.replace_dropout``. Streams, flags, parameters and their paths do not change.

    A function, such as a training step or a decorated ``__call__``, uses flaxnoise for all of
    Flax's dropout while it runs, including attention functions that it calls directly.

    Args:
        target: a flax.nnx.Module or a function.
        strict: whether to raise if some dropout is not replaced.
        report: a function such as ``print``, called with a Report; for a function, before the first
            call with arguments of a new structure, shape or dtype. There, this and strict trace the
            function an additional time.

    Returns:
        The model, or a function of the same arguments. Warns if there is no dropout.

    Raises:
        TypeError: target is neither a model nor a function.
        ValueError: strict, and some dropout in the model is not replaced.

    Example:
        >>> from flax import nnx
        >>> rngs = nnx.Rngs(0)
        >>> model = nnx.Sequential(nnx.Linear(129, 5, rngs=rngs), nnx.Dropout(0.5, rngs=rngs))
        >>> y = flaxnoise.nnx.replace_dropout(model, strict=True)(x)
    """
    if isinstance(target, nnx.Module):
        replace_in_model(target, strict=strict, listener=report)
        return target
    if isinstance(target, linen.Module) or not callable(target):
        raise TypeError(
            "replace_dropout: target must be a flax.nnx.Module or a function, got "
            f"{type(target).__name__}. Models of linen are for flaxnoise.linen.replace_dropout."
        )
    return Replaced(target, strict, report)
