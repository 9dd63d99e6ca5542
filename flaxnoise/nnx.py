"""The layers for Flax nnx; Dropout takes the place of flax.nnx.Dropout by a change of import.

In evaluation, which is when ``deterministic`` is true, a layer returns its inputs. Otherwise it
calls its function with the next key of its stream: one key a call, whatever the rate.

The value of a schedule goes in at call time. It may be traced, so that no change of it compiles
anything again:

    >>> import optax
    >>> from flax import nnx
    >>> from flaxnoise.nnx import Dropout, GaussianNoise
    >>> schedule = optax.linear_schedule(0.5, 0.0, transition_steps=1000)
    >>> apply = nnx.jit(lambda dropout, x, step: dropout(x, rate=schedule(step)))
    >>> y = apply(Dropout(rngs=nnx.Rngs(0)), x, step=jnp.array(10))

A parameter that is a Param is learned:

    >>> noise = GaussianNoise(nnx.Param(0.1), rngs=nnx.Rngs(0))
    >>> gradients = nnx.grad(lambda noise: jnp.mean(noise(x) ** 2))(noise)
    >>> gradients.stddev.shape
    ()
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, dataclass_transform

import jax
from flax import nnx

from flaxnoise import functional
from flaxnoise.layer import Layer

_Number = jax.typing.ArrayLike | nnx.Variable | None
_Rngs = nnx.Rngs | nnx.RngStream | jax.Array


@dataclass_transform(eq_default=False)
@dataclasses.dataclass(eq=False, repr=False)
class _Noise(Layer, nnx.Module):
    """The layer of a function: flags, streams and the call.

    A subclass that names a function becomes a dataclass, with its own fields first.
    """

    _: dataclasses.KW_ONLY
    broadcast_dims: int | Sequence[int] = ()
    deterministic: bool | None = False
    rng_collection: str = "dropout"
    rngs: _Rngs | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "function" in vars(cls):
            dataclasses.dataclass(eq=False, repr=False)(cls)

    def __post_init__(self) -> None:
        rngs = self._checked(self.rngs)
        if isinstance(rngs, nnx.Rngs):
            rngs = rngs[self.rng_collection]
        if isinstance(rngs, nnx.RngStream):
            rngs = rngs.fork()
        elif rngs is not None:
            rngs = nnx.RngStream(rngs, tag=self.rng_collection)
        self.rngs = nnx.data(rngs)

    def __call__(
        self,
        inputs: jax.Array,
        *,
        deterministic: bool | None = None,
        rngs: _Rngs | None = None,
        key: jax.Array | None = None,
        **given: Any,
    ) -> jax.Array:
        """Calls the function, or returns the inputs where deterministic.

        Args:
            inputs: x of the function.
            deterministic: wins over the attribute of that name.
            rngs: an Rngs, an RngStream or a key; wins over the attribute of that name.
            key: used as it is, with no stream touched; wins over rngs.
            **given: the layer's rate or stddev, which wins over the attribute; may be traced.

        Returns:
            An array of the shape and dtype of the inputs.

        Raises:
            ValueError: deterministic is None here and in the layer, or there is no stream; or from
                the function.
            TypeError: rngs are something else; or from the function.
        """
        deterministic = self.deterministic if deterministic is None else deterministic
        if deterministic is None:
            raise ValueError(
                f"{type(self).__name__}: deterministic must be given to the constructor, to the "
                "call or by nnx.view, got None from each."
            )
        if deterministic:
            return inputs
        arguments = self._arguments(given)
        if key is None:
            key = self._next_key(rngs, arguments)
        return self.function(key, inputs, **arguments)

    def set_view(self, deterministic: bool | None = None) -> None:
        """Sets the flags of a view: called by nnx.view.

        Args:
          deterministic: if true, the layer returns its inputs.
        """
        if deterministic is not None:
            self.deterministic = deterministic

    def _arguments(self, given: Mapping[str, Any]) -> dict[str, Any]:
        arguments = super()._arguments(given)
        return {
            name: value.get_value() if isinstance(value, nnx.Variable) else value
            for name, value in arguments.items()
        }

    def _next_key(self, rngs: _Rngs | None, arguments: Mapping[str, Any]) -> jax.Array:
        rngs = self._checked(self.rngs if rngs is None else rngs)
        if isinstance(rngs, nnx.Rngs):
            rngs = rngs[self.rng_collection]
        if isinstance(rngs, nnx.RngStream):
            return rngs()
        if rngs is not None:
            return rngs
        if self._is_certain(arguments):
            return jax.random.key(0)
        raise ValueError(
            f"{type(self).__name__}: rngs must be given to the constructor or to the call, or a "
            "key to the call, got none of them. In evaluation, pass deterministic=True."
        )

    def _checked(self, rngs: Any) -> _Rngs | None:
        if rngs is None or isinstance(rngs, _Rngs):
            return rngs
        raise TypeError(
            f"{type(self).__name__}: rngs must be an nnx.Rngs, an nnx.RngStream or a key, "
            f"got {type(rngs).__name__}."
        )


class Dropout(_Noise):
    """Drops elements and scales the rest: y = x·keep/P(keep).

    The layer of ``flaxnoise.dropout``. A model that used flax.nnx.Dropout needs a change of import
    alone, and its checkpoints fit. What differs is the noise, that rates 0 and 1 take a key from
    the stream where there is one, and that arguments out of range raise.

    Args:
        rate: share of the elements dropped, in [0, 1]. Here, or at call time.
        broadcast_dims: dimensions along which the noise is shared.
        deterministic: if true, the layer returns its inputs; set by ``train()`` and ``eval()``.
        rng_collection: name of the stream in an Rngs.
        rngs: an Rngs or RngStream, of which the layer takes a fork, or a key for a new stream.

    Example:
        >>> from flax import nnx
        >>> dropout = flaxnoise.nnx.Dropout(0.5, rngs=nnx.Rngs(0))
        >>> y = dropout(x)
        >>> dropout.eval()
        >>> dropout(x) is x
        True
    """

    rate: _Number = None
    function = staticmethod(functional.dropout)
    certain: ClassVar = {"rate": (0, 1)}


class GaussianDropout(_Noise):
    """Multiplies by normal noise: y = x·(1 + s·n), n ~ N(0, 1), s = √(rate/(1 − rate)).

    The layer of ``flaxnoise.gaussian_dropout``.

    Args:
        rate: in [0, 1). Here, or at call time; may be learned.
        broadcast_dims, deterministic, rng_collection, rngs: as in ``Dropout``.

    Example:
        >>> from flax import nnx
        >>> y = flaxnoise.nnx.GaussianDropout(0.5, rngs=nnx.Rngs(0))(x)
    """

    rate: _Number = None
    function = staticmethod(functional.gaussian_dropout)


class GaussianNoise(_Noise):
    """Adds normal noise: y = x + stddev·n, n ~ N(0, 1).

    The layer of ``flaxnoise.gaussian_noise``.

    Args:
        stddev: in units of x, ≥ 0. Here, or at call time; may be learned.
        broadcast_dims, deterministic, rng_collection, rngs: as in ``Dropout``.

    Example:
        >>> from flax import nnx
        >>> y = flaxnoise.nnx.GaussianNoise(0.1, rngs=nnx.Rngs(0))(x)
    """

    stddev: _Number = None
    function = staticmethod(functional.gaussian_noise)


class MaskedGaussianNoise(_Noise):
    """Adds normal noise to a share of the elements: y = x + stddev·n there, else x itself.

    The layer of ``flaxnoise.masked_gaussian_noise``.

    Args:
        rate: share of the elements that get noise, in [0, 1]. Here, or at call time.
        stddev: in units of x, ≥ 0. Here, or at call time; may be learned.
        broadcast_dims, deterministic, rng_collection, rngs: as in ``Dropout``.

    Example:
        >>> from flax import nnx
        >>> y = flaxnoise.nnx.MaskedGaussianNoise(0.2, 0.1, rngs=nnx.Rngs(0))(x)
    """

    rate: _Number = None
    stddev: _Number = None
    function = staticmethod(functional.masked_gaussian_noise)


class StopGradient(nnx.Module):
    """Gives x itself forward and no gradient backward: y = x, dy/dx = 0.

    The layer of ``flaxnoise.stop_gradient``. It has no noise, no stream and no state, and does the
    same in training and in evaluation.

    Example:
        >>> y = flaxnoise.nnx.StopGradient()(x)
    """

    def __call__(self, inputs: Any, *, deterministic: bool | None = None) -> Any:
        """Stops the gradient.

        Args:
            inputs: an array or a tree of arrays.
            deterministic: changes nothing; so that the layer can stand where a noise layer stood.

        Returns:
            The same values.
        """
        return functional.stop_gradient(inputs)
