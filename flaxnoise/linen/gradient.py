"""Layers that change only the gradient. All but GradientNoise ignore ``deterministic``."""

from typing import Any

import jax
from flax import linen as nn

from flaxnoise import arguments, functional
from flaxnoise.layer import Layer
from flaxnoise.linen.base import Noise, Stddev


class StopGradient(Layer, nn.Module):
    """Returns x and stops its gradient: y = x, dy/dx = 0.

    Layer version of ``flaxnoise.stop_gradient``, the same in training and in evaluation. It has no
    variables and uses no stream.

    Attributes:
        where: where to stop the gradient, as in the function; by default everywhere.

    Example:
        >>> y = flaxnoise.linen.StopGradient().apply({}, x)
    """

    where: Any = None

    def __call__(self, inputs: Any, deterministic: bool | None = None, rng: Any = None) -> Any:
        """Stops the gradient.

        Args:
            inputs: an array or a tree of arrays.
            deterministic: ignored; accepted so that the layer can replace a noise layer.
            rng: likewise.

        Returns:
            The same values.
        """
        return functional.stop_gradient(inputs, self.where)


class GradientScale(Layer, nn.Module):
    """Returns x and scales its gradient: y = x, dx = scale·dy.

    Layer version of ``flaxnoise.gradient_scale``.

    Attributes:
        scale: a finite number. Given here or at call time.

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
        """Scales the gradient; ``scale`` overrides the attribute, deterministic is ignored."""
        scale = self.scale if scale is None else scale
        return functional.gradient_scale(inputs, scale)  # pyright: ignore[reportArgumentType]


class GradientReversal(Layer, nn.Module):
    """Returns x and reverses its gradient: y = x, dx = −scale·dy.

    Layer version of ``flaxnoise.gradient_reversal``.

    Attributes:
        scale: a finite number. Given here or at call time.

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
        """Reverses the gradient; ``scale`` overrides the attribute, deterministic is ignored."""
        return functional.gradient_reversal(inputs, self.scale if scale is None else scale)


class ActivityRegularization(Layer, nn.Module):
    """Returns x and adds the gradient of a penalty: y = x, dx = dy + p′(x).

    Layer version of ``flaxnoise.activity_regularization``.

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
        """Adds to the gradient; deterministic is ignored."""
        return functional.activity_regularization(inputs, self.l1, self.l2)


class GradientNoise(Noise, Stddev):
    """Returns x and adds normal noise to its gradient: y = x, dx = dy + stddev·n.

    Layer version of ``flaxnoise.gradient_noise``; without effect if deterministic.

    Attributes:
        stddev: in units of the gradient, ≥ 0. Given here or at call time.
        deterministic, rng_collection: as in ``Dropout``.

    Example:
        >>> noise = flaxnoise.linen.GradientNoise(0.1, deterministic=False)
        >>> y = noise.apply({}, x, rngs={"dropout": key})
    """

    _function = staticmethod(functional.gradient_noise)
