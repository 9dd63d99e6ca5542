"""The layers for Flax linen; Dropout takes the place of flax.linen.Dropout by a change of import.

In evaluation, which is when ``deterministic`` is true, a layer returns its inputs. Otherwise it
calls its function with the next key of its stream: one key a call, whatever the rate.

The value of a schedule goes in at call time. It may be traced, so that no change of it compiles
anything again. A learned parameter goes in likewise; the module around the layer owns it:

    >>> import optax
    >>> from flax import linen
    >>> from flaxnoise.linen import Dropout, GaussianNoise
    >>> class Model(linen.Module):
    ...     schedule: optax.Schedule
    ...
    ...     @linen.compact
    ...     def __call__(self, x, step, train):
    ...         x = Dropout(deterministic=not train)(x, rate=self.schedule(step))
    ...         stddev = self.param("stddev", linen.initializers.constant(0.1), x.shape[-1:])
    ...         return GaussianNoise(deterministic=not train)(x, stddev=stddev)
    >>> model = Model(optax.linear_schedule(0.5, 0.0, transition_steps=1000))
    >>> variables = model.init(key, x, 0, train=False)
    >>> y = model.apply(variables, x, jnp.array(10), train=True, rngs={"dropout": key})
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax
from flax import linen as nn

from flaxnoise import functional
from flaxnoise.layer import Layer

# A parameter is a base class that stands behind _Noise: dataclasses collect the fields of the last
# base first, and the rate comes before the flags, as in flax.linen.Dropout.


class _Rate(nn.Module):
    rate: jax.typing.ArrayLike | None = None


class _Stddev(nn.Module):
    stddev: jax.typing.ArrayLike | None = None


class _Noise(Layer, nn.Module):
    """The layer of a function: flags, streams and the call."""

    broadcast_dims: int | Sequence[int] = ()
    deterministic: bool | None = None
    rng_collection: str = "dropout"

    def __call__(
        self,
        inputs: jax.Array,
        deterministic: bool | None = None,
        rng: jax.Array | None = None,
        *,
        key: jax.Array | None = None,
        **given: Any,
    ) -> jax.Array:
        """Calls the function, or returns the inputs where deterministic.

        Args:
            inputs: x of the function.
            deterministic: must be given here or to the constructor, not to both.
            rng: a key, used as it is with no stream touched; Flax's name for it.
            key: the same; wins over rng.
            **given: the layer's rate or stddev, which wins over the attribute; may be traced.

        Returns:
            An array of the shape and dtype of the inputs.

        Raises:
            ValueError: deterministic is given nowhere or twice; or from the function.
            flax.errors.InvalidRngError: there is neither a key nor a stream.
            TypeError: from the function.
        """
        if nn.merge_param("deterministic", self.deterministic, deterministic):
            return inputs
        arguments = self._arguments(given)
        key = rng if key is None else key
        if key is None:
            key = self._next_key(arguments)
        return self.function(key, inputs, **arguments)

    @nn.nowrap
    def _next_key(self, arguments: Mapping[str, Any]) -> jax.Array:
        # make_rng falls back to the stream of the parameters.
        streams = (self.rng_collection, "params")
        has_stream = self.scope is not None and any(map(self.has_rng, streams))
        if self._is_certain(arguments) and not has_stream:
            return jax.random.key(0)
        return self.make_rng(self.rng_collection)


class Dropout(_Noise, _Rate):
    """Drops elements and scales the rest: y = x·keep/P(keep).

    The layer of ``flaxnoise.dropout``. A model that used flax.linen.Dropout needs a change of
    import alone. What differs is the noise, that rates 0 and 1 take a key from the stream where
    there is one, and that arguments out of range raise.

    Attributes:
        rate: share of the elements dropped, in [0, 1]. Here, or at call time.
        broadcast_dims: dimensions along which the noise is shared.
        deterministic: if true, the layer returns its inputs. Here, or at call time.
        rng_collection: name of the stream in the rngs of init and apply.

    Example:
        >>> dropout = flaxnoise.linen.Dropout(0.5)
        >>> y = dropout.apply({}, x, deterministic=False, rngs={"dropout": key})
        >>> dropout.apply({}, x, deterministic=True) is x
        True
    """

    function = staticmethod(functional.dropout)
    certain: ClassVar = {"rate": (0, 1)}


class GaussianDropout(_Noise, _Rate):
    """Multiplies by normal noise: y = x·(1 + s·n), n ~ N(0, 1), s = √(rate/(1 − rate)).

    The layer of ``flaxnoise.gaussian_dropout``.

    Attributes:
        rate: in [0, 1). Here, or at call time, when it may be a learned parameter.
        broadcast_dims, deterministic, rng_collection: as in ``Dropout``.

    Example:
        >>> noise = flaxnoise.linen.GaussianDropout(0.5, deterministic=False)
        >>> y = noise.apply({}, x, rngs={"dropout": key})
    """

    function = staticmethod(functional.gaussian_dropout)


class GaussianNoise(_Noise, _Stddev):
    """Adds normal noise: y = x + stddev·n, n ~ N(0, 1).

    The layer of ``flaxnoise.gaussian_noise``.

    Attributes:
        stddev: in units of x, ≥ 0. Here, or at call time, when it may be a learned parameter.
        broadcast_dims, deterministic, rng_collection: as in ``Dropout``.

    Example:
        >>> noise = flaxnoise.linen.GaussianNoise(0.1, deterministic=False)
        >>> y = noise.apply({}, x, rngs={"dropout": key})
    """

    function = staticmethod(functional.gaussian_noise)


class MaskedGaussianNoise(_Noise, _Stddev, _Rate):
    """Adds normal noise to a share of the elements: y = x + stddev·n there, else x itself.

    The layer of ``flaxnoise.masked_gaussian_noise``.

    Attributes:
        rate: share of the elements that get noise, in [0, 1]. Here, or at call time.
        stddev: in units of x, ≥ 0. Here, or at call time, when it may be a learned parameter.
        broadcast_dims, deterministic, rng_collection: as in ``Dropout``.

    Example:
        >>> noise = flaxnoise.linen.MaskedGaussianNoise(0.2, 0.1, deterministic=False)
        >>> y = noise.apply({}, x, rngs={"dropout": key})
    """

    function = staticmethod(functional.masked_gaussian_noise)


class StopGradient(nn.Module):
    """Gives x itself forward and no gradient backward: y = x, dy/dx = 0.

    The layer of ``flaxnoise.stop_gradient``. It has no noise, no stream and no variables, and does
    the same in training and in evaluation.

    Example:
        >>> y = flaxnoise.linen.StopGradient().apply({}, x)
    """

    def __call__(self, inputs: Any, deterministic: bool | None = None) -> Any:
        """Stops the gradient.

        Args:
            inputs: an array or a tree of arrays.
            deterministic: changes nothing; so that the layer can stand where a noise layer stood.

        Returns:
            The same values.
        """
        return functional.stop_gradient(inputs)
