"""Layers that change only the gradient. All but GradientNoise ignore ``deterministic``."""

from typing import Any

import jax
from flax import nnx

from flaxnoise import arguments, functional
from flaxnoise.layer import Layer
from flaxnoise.nnx.base import Noise, Number, Traceable, value_of


class StopGradient(Traceable, Layer):
    """Returns x and stops its gradient: y = x, dy/dx = 0.

    Layer version of ``flaxnoise.stop_gradient``, the same in training and in evaluation. It has no
    state and uses no stream.

    Args:
        where: where to stop the gradient, as in the function; by default everywhere.

    Example:
        >>> y = flaxnoise.nnx.StopGradient()(x)
    """

    def __init__(self, where: Any = None) -> None:
        self.where = nnx.static(where) if callable(where) else nnx.data(where)

    def __call__(self, inputs: Any, *, deterministic: bool | None = None, rngs: Any = None) -> Any:
        """Stops the gradient.

        Args:
            inputs: an array or a tree of arrays.
            deterministic: ignored; accepted so that the layer can replace a noise layer.
            rngs: likewise.

        Returns:
            The same values.
        """
        return functional.stop_gradient(inputs, self.where)


class GradientScale(Traceable, Layer):
    """Returns x and scales its gradient: y = x, dx = scale·dy.

    Layer version of ``flaxnoise.gradient_scale``.

    Args:
        scale: a finite number. Given here or at call time.

    Example:
        >>> y = flaxnoise.nnx.GradientScale(0.1)(x)
    """

    def __init__(self, scale: Number = None) -> None:
        if scale is not None:
            arguments.finite("gradient_scale", "scale", value_of(scale), ())
        self.scale = scale

    def __call__(
        self,
        inputs: Any,
        *,
        deterministic: bool | None = None,
        scale: jax.typing.ArrayLike | None = None,
    ) -> Any:
        """Scales the gradient; ``scale`` overrides the attribute, deterministic is ignored."""
        return functional.gradient_scale(inputs, value_of(self.scale if scale is None else scale))


class GradientReversal(Traceable, Layer):
    """Returns x and reverses its gradient: y = x, dx = −scale·dy.

    Layer version of ``flaxnoise.gradient_reversal``.

    Args:
        scale: a finite number. Given here or at call time.

    Example:
        >>> y = flaxnoise.nnx.GradientReversal()(x)
    """

    def __init__(self, scale: Number = 1.0) -> None:
        arguments.finite("gradient_reversal", "scale", value_of(scale), ())
        self.scale = scale

    def __call__(
        self,
        inputs: Any,
        *,
        deterministic: bool | None = None,
        scale: jax.typing.ArrayLike | None = None,
    ) -> Any:
        """Reverses the gradient; ``scale`` overrides the attribute, deterministic is ignored."""
        return functional.gradient_reversal(
            inputs, value_of(self.scale if scale is None else scale)
        )


class ActivityRegularization(Traceable, Layer):
    """Returns x and adds the gradient of a penalty: y = x, dx = dy + p′(x).

    Layer version of ``flaxnoise.activity_regularization``.

    Args:
        l1: factor of |x|, ≥ 0.
        l2: factor of x², ≥ 0.

    Example:
        >>> y = flaxnoise.nnx.ActivityRegularization(l2=1e-4)(x)
    """

    def __init__(self, l1: Number = 0.0, l2: Number = 0.0) -> None:
        arguments.nonnegative("activity_regularization", "l1", value_of(l1), ())
        arguments.nonnegative("activity_regularization", "l2", value_of(l2), ())
        self.l1, self.l2 = l1, l2

    def __call__(self, inputs: jax.Array, *, deterministic: bool | None = None) -> jax.Array:
        """Adds to the gradient; deterministic is ignored."""
        return functional.activity_regularization(inputs, value_of(self.l1), value_of(self.l2))


class GradientNoise(Noise):
    """Returns x and adds normal noise to its gradient: y = x, dx = dy + stddev·n.

    Layer version of ``flaxnoise.gradient_noise``; without effect if deterministic.

    Args:
        stddev: in units of the gradient, ≥ 0. Given here or at call time.
        deterministic, rng_collection, rngs: as in ``Dropout``.

    Example:
        >>> from flax import nnx
        >>> y = flaxnoise.nnx.GradientNoise(0.1, rngs=nnx.Rngs(0))(x)
    """

    stddev: Number = None
    _function = staticmethod(functional.gradient_noise)
