"""Base classes of the layers for linen."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
from flax import linen as nn

from flaxnoise.layer import Layer

# Each field has its own base class, listed after Noise. Dataclasses collect fields from the last
# base to the first, so that rate comes before the flags, as in flax.linen.Dropout.


class Rate(nn.Module):
    """Adds the field rate."""

    rate: jax.typing.ArrayLike | None = None


class Stddev(nn.Module):
    """Adds the field stddev."""

    stddev: jax.typing.ArrayLike | None = None


class Scale(nn.Module):
    """Adds the field scale."""

    scale: jax.typing.ArrayLike | None = None


class Levels(nn.Module):
    """Adds the fields low and high."""

    low: jax.typing.ArrayLike = 0.0
    high: jax.typing.ArrayLike = 1.0


class Shared(nn.Module):
    """Adds the field broadcast_dims."""

    broadcast_dims: int | Sequence[int] = ()


class Noise(Layer, nn.Module):
    """A layer that calls a function with a key from a stream, unless deterministic."""

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
        """Calls the function, or returns the inputs if deterministic.

        Args:
            inputs: x of the function.
            deterministic: must be given here or to the constructor, not to both.
            rng: a key to use instead of the next one of the stream, as in flax.linen.Dropout.
            key: the same; overrides rng.
            **given: arguments such as rate or stddev, which override the attributes; may be traced.
                Checked even if deterministic.

        Returns:
            An array of the shape and dtype of the inputs.

        Raises:
            ValueError: deterministic is given nowhere or twice; or raised by the function.
            flax.errors.InvalidRngError: there is neither a key nor a stream.
            TypeError: raised by the function.
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
        # make_rng falls back to the stream "params".
        streams = (self.rng_collection, "params")
        has_stream = self.scope is not None and any(map(self.has_rng, streams))
        if self._is_certain(arguments) and not has_stream:
            return jax.random.key(0)
        return self.make_rng(self.rng_collection)
