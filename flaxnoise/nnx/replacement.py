"""Flax's dropout computed by flaxnoise, in models that were written with flax.nnx."""

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
    """Makes a model, or a function, compute Flax's dropout by flaxnoise.

    A model is changed itself: each flax.nnx.Dropout becomes a flaxnoise.nnx.Dropout, subclasses
    that keep its ``__call__`` are called as one, attention functions of Flax that are held as
    attributes become ours, alone or in a functools.partial, and linen models in nnx.bridge.ToNNX
    are called within ``flaxnoise.linen.replace_dropout``. Streams, flags, parameters and their
    paths stay.

    A function, such as a training step or a ``__call__`` that it decorates, computes all of Flax's
    dropout by flaxnoise while it runs, that of attention called as a function included.

    Args:
        target: a flax.nnx.Module or a function.
        strict: whether dropout that is not reached raises.
        report: called with a Report, such as ``print``; for a function before the first call of
            each kind. There, this and strict trace the function once more.

    Returns:
        The model, or a function of the same arguments. Warns where there is no dropout.

    Raises:
        TypeError: target is neither of them.
        ValueError: strict, and dropout is left in the model.

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
