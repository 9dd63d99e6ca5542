"""What the layers for linen have in common."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
from flax import linen as nn

from flaxnoise.layer import Layer

# Each field has a base class of its own, listed after Noise: dataclasses collect the fields of the
# last base first, so that the rate comes before the flags, as in flax.linen.Dropout.


class Rate(nn.Module):
    """Has a rate."""

    rate: jax.typing.ArrayLike | None = None


class Stddev(nn.Module):
    """Has a standard deviation."""

    stddev: jax.typing.ArrayLike | None = None


class Scale(nn.Module):
    """Has a scale."""

    scale: jax.typing.ArrayLike | None = None


class Levels(nn.Module):
    """Has a lower and an upper value."""

    low: jax.typing.ArrayLike = 0.0
    high: jax.typing.ArrayLike = 1.0


class Shared(nn.Module):
    """Has noise that can be shared along dimensions."""

    broadcast_dims: int | Sequence[int] = ()


class Noise(Layer, nn.Module):
    """The layer of a function: flags, streams and the call."""

    deterministic: bool | None = None
    rng_collection: str = "dropout"

    def __post_init__(self) -> None:
        self._check_fields()
        super().__post_init__()

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
                Checked in evaluation, too.

        Returns:
            An array of the shape and dtype of the inputs.

        Raises:
            ValueError: deterministic is given nowhere or twice; or from the function.
            flax.errors.InvalidRngError: there is neither a key nor a stream.
            TypeError: from the function.
        """
        self._check(given)
        if nn.merge_param("deterministic", self.deterministic, deterministic):
            return inputs
        arguments = self._arguments(given)
        key = rng if key is None else key
        if key is None:
            key = self._next_key(arguments)
        return self._apply(key, inputs, arguments)

    @nn.nowrap
    def _next_key(self, arguments: Mapping[str, Any]) -> jax.Array:
        # make_rng falls back to the stream of the parameters.
        streams = (self.rng_collection, "params")
        has_stream = self.scope is not None and any(map(self.has_rng, streams))
        if self._is_certain(arguments) and not has_stream:
            return jax.random.key(0)
        return self.make_rng(self.rng_collection)
