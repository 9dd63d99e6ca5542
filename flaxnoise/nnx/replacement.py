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
    replaced as well. Streams, flags, parameters and their paths do not change.

    The model, and modules in it whose classes are neither Flax's nor flaxnoise's, become instances
    of subclasses of their classes, with the same names. While their methods run, all of Flax's
    dropout is computed by flaxnoise, including attention functions called directly and linen models
    in nnx.bridge.ToNNX. Copies, pickled ones too, stay replaced.

    A function, such as a training step or a decorated ``__call__``, also uses flaxnoise for all of
    Flax's dropout while it runs.

    Args:
        target: a flax.nnx.Module or a function.
        strict: whether to raise if some dropout is not replaced: of the model's layers here, of its
            methods or of a function when they are called.
        report: a function such as ``print``, called with a Report: of the model's layers here, and
            before the first call of a function or method with arguments of a new structure, shape
            or dtype. This and strict trace the function an additional time. Methods other than
            ``__call__`` that cannot be traced are not inspected. Pickled models keep strict alone.

    Returns:
        The model, or a function of the same arguments. Warns if there is no dropout, for a model
        with code of its own after the first call.

    Raises:
        TypeError: target is neither a model nor a function.
        ValueError: strict, and some dropout in the model's layers is not replaced.

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
