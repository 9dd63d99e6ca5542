"""Base classes of the layers for nnx."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, dataclass_transform

import jax
from flax import nnx
from jax.core import Tracer

from flaxnoise.layer import Layer

Number = jax.typing.ArrayLike | nnx.Variable | None
Streams = nnx.Rngs | nnx.RngStream | jax.Array


class Traceable(nnx.Module):
    """A module whose attributes may be traced numbers, which it treats as data."""

    def __setattr__(self, name: str, value: Any) -> None:
        # nnx.is_data is false for tracers: without data() they would enter the graph definition.
        super().__setattr__(name, nnx.data(value) if isinstance(value, Tracer) else value)


@dataclass_transform(eq_default=False, field_specifiers=(nnx.data,))
@dataclasses.dataclass(eq=False, repr=False)
class Noise(Traceable, Layer):
    """The layer of a function: flags, streams and the call.

    A subclass that names a function becomes a dataclass, with its own fields first. Layer is the
    last base so that instances have the layout of Flax's modules, which replace_dropout needs to
    assign their ``__class__``.
    """

    _: dataclasses.KW_ONLY
    deterministic: bool | None = False
    rng_collection: str = "dropout"
    rngs: Streams | None = nnx.data(default=None)  # noqa: RUF009 (it is a dataclass field)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "_function" in vars(cls):
            dataclasses.dataclass(eq=False, repr=False)(cls)

    def __post_init__(self) -> None:
        self._check_fields()
        rngs = self._checked(self.rngs)
        if isinstance(rngs, nnx.Rngs):
            rngs = rngs[self.rng_collection]
        if isinstance(rngs, nnx.RngStream):
            rngs = rngs.fork()
        elif rngs is not None:
            rngs = nnx.RngStream(rngs, tag=self.rng_collection)
        self.rngs = rngs

    def __call__(
        self,
        inputs: jax.Array,
        *,
        deterministic: bool | None = None,
        rngs: Streams | None = None,
        key: jax.Array | None = None,
        **given: Any,
    ) -> jax.Array:
        """Calls the function, or returns the inputs if deterministic.

        Args:
            inputs: x of the function.
            deterministic: overrides the attribute of that name.
            rngs: an Rngs, an RngStream or a key; overrides the attribute of that name.
            key: a key to use instead of the next one of a stream; overrides rngs.
            **given: arguments such as rate or stddev, which override the attributes; may be traced.
                Checked even if deterministic.

        Returns:
            An array of the shape and dtype of the inputs.

        Raises:
            ValueError: deterministic is None here and in the layer, or there is no stream; or
                raised by the function.
            TypeError: rngs has another type; or raised by the function.
        """
        self._check(given)
        if self._is_deterministic(deterministic):
            return inputs
        arguments = self._arguments(given)
        if key is None:
            key = self._next_key(rngs, arguments)
        return self._apply(key, inputs, arguments)

    def set_view(self, deterministic: bool | None = None) -> None:
        """Sets the flags of a view for nnx.view. nnx.view_info parses Args, indented by two spaces.

        Args:
          deterministic: if true, the layer returns its inputs.
        """
        if deterministic is not None:
            self.deterministic = deterministic

    def _is_deterministic(self, given: bool | None) -> bool:
        deterministic = self.deterministic if given is None else given
        if deterministic is None:
            raise ValueError(
                f"{type(self).__name__}: deterministic must be given to the constructor, to the "
                "call or by nnx.view, got None from each."
            )
        return deterministic

    def _check(self, values: Mapping[str, Any]) -> None:
        super()._check(_values(values))

    def _arguments(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return _values(super()._arguments(given))

    def _next_key(self, rngs: Streams | None, arguments: Mapping[str, Any]) -> jax.Array:
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

    def _checked(self, rngs: Any) -> Streams | None:
        if rngs is None or isinstance(rngs, Streams):
            return rngs
        raise TypeError(
            f"{type(self).__name__}: rngs must be an nnx.Rngs, an nnx.RngStream or a key, "
            f"got {type(rngs).__name__}."
        )


@dataclasses.dataclass(eq=False, repr=False)
class Shared(Noise):
    """A layer of a function whose noise can be shared along dimensions."""

    _: dataclasses.KW_ONLY
    broadcast_dims: int | Sequence[int] = ()


def value_of(number: Any) -> Any:
    """The value of a Variable; other values unchanged."""
    return number.get_value() if isinstance(number, nnx.Variable) else number


def _values(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value_of(value) for name, value in arguments.items()}
