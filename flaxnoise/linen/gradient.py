"""Layers that act on the gradient alone; all but GradientNoise do the same in evaluation."""

from typing import Any

import jax
from flax import linen as nn

from flaxnoise import arguments, functional
from flaxnoise.layer import Layer
from flaxnoise.linen.base import Noise, Stddev


class StopGradient(Layer, nn.Module):
    """Gives x itself forward and no gradient backward: y = x, dy/dx = 0.

    The layer of ``flaxnoise.stop_gradient``. It has no noise, no stream and no variables, and does
    the same in training and in evaluation.

    Attributes:
        where: what to stop, by default everything, as in the function.

    Example:
        >>> y = flaxnoise.linen.StopGradient().apply({}, x)
    """

    where: Any = None

    def __call__(self, inputs: Any, deterministic: bool | None = None, rng: Any = None) -> Any:
        """Stops the gradient.

        Args:
            inputs: an array or a tree of arrays.
            deterministic: changes nothing; so that the layer can stand where a noise layer stood.
            rng: likewise; no stream is touched.

        Returns:
            The same values.
        """
        return functional.stop_gradient(inputs, self.where)


class GradientScale(Layer, nn.Module):
    """Gives x itself forward and scales the gradient: y = x, dx = scale·dy.

    The layer of ``flaxnoise.gradient_scale``.

    Attributes:
        scale: a finite number. Here, or at call time.

    Example:
        >>> y = flaxnoise.linen.GradientScale(0.1).apply({}, x)
    """

    scale: jax.typing.ArrayLike | None = None

    def __post_init__(self) -> None:
        if self.scale is not None:
            arguments.finite("gradient_scale", "scale", self.scale, ())
        super().__post_init__()

    def __call__(
        self,
        inputs: Any,
        deterministic: bool | None = None,
        *,
        scale: jax.typing.ArrayLike | None = None,
    ) -> Any:
        """Scales the gradient; deterministic changes nothing, scale wins over the attribute."""
        scale = self.scale if scale is None else scale
        return functional.gradient_scale(inputs, scale)  # pyright: ignore[reportArgumentType]


class GradientReversal(Layer, nn.Module):
    """Gives x itself forward and reverses the gradient: y = x, dx = −scale·dy.

    The layer of ``flaxnoise.gradient_reversal``.

    Attributes:
        scale: a finite number. Here, or at call time.

    Example:
        >>> y = flaxnoise.linen.GradientReversal().apply({}, x)
    """

    scale: jax.typing.ArrayLike = 1.0

    def __post_init__(self) -> None:
        arguments.finite("gradient_reversal", "scale", self.scale, ())
        super().__post_init__()

    def __call__(
        self,
        inputs: Any,
        deterministic: bool | None = None,
        *,
        scale: jax.typing.ArrayLike | None = None,
    ) -> Any:
        """Reverses the gradient; deterministic changes nothing, scale wins over the attribute."""
        return functional.gradient_reversal(inputs, self.scale if scale is None else scale)


class ActivityRegularization(Layer, nn.Module):
    """Gives x itself forward and a penalty's gradient on top backward: y = x, dx = dy + p′(x).

    The layer of ``flaxnoise.activity_regularization``.

    Attributes:
        l1: factor of |x|, ≥ 0.
        l2: factor of x², ≥ 0.

    Example:
        >>> y = flaxnoise.linen.ActivityRegularization(l2=1e-4).apply({}, x)
    """

    l1: jax.typing.ArrayLike = 0.0
    l2: jax.typing.ArrayLike = 0.0

    def __post_init__(self) -> None:
        arguments.nonnegative("activity_regularization", "l1", self.l1, ())
        arguments.nonnegative("activity_regularization", "l2", self.l2, ())
        super().__post_init__()

    def __call__(self, inputs: jax.Array, deterministic: bool | None = None) -> jax.Array:
        """Adds to the gradient; deterministic changes nothing."""
        return functional.activity_regularization(inputs, self.l1, self.l2)


class GradientNoise(Noise, Stddev):
    """Gives x itself forward and adds normal noise to its gradient: y = x, dx = dy + stddev·n.

    The layer of ``flaxnoise.gradient_noise``; nothing at all where deterministic.

    Attributes:
        stddev: in units of the gradient, ≥ 0. Here, or at call time.
        deterministic, rng_collection: as in ``Dropout``.

    Example:
        >>> noise = flaxnoise.linen.GradientNoise(0.1, deterministic=False)
        >>> y = noise.apply({}, x, rngs={"dropout": key})
    """

    _function = staticmethod(functional.gradient_noise)
