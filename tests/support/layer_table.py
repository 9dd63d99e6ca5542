"""The table of layers, a row for each function in cases.py, and how each API calls them.

A layer whose name follows from its function's needs no entry here.
"""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import flax.linen
import flax.nnx
import jax
import pytest

import flaxnoise.linen
import flaxnoise.nnx
from cases import CASES, Case
from every import every

# Layers that do not fit the table of cases → the file that tests each, relative to layers/.
ELSEWHERE = {
    "StopGradient": "test_stop_gradient.py",
    **dict.fromkeys(
        (
            "AttentionDropout",
            "DropBlock1D",
            "DropBlock2D",
            "DropBlock3D",
            "DropPath",
            "FeatureAlphaDropout",
            "SpatialDropout1D",
            "SpatialDropout2D",
            "SpatialDropout3D",
            "TokenDropout",
            "WordDropout",
        ),
        "../family/test_layers.py",
    ),
    **dict.fromkeys(
        ("ActivityRegularization", "GradientNoise", "GradientReversal", "GradientScale"),
        "../family/test_gradient.py",
    ),
    **dict.fromkeys(
        ("ConcreteDropout", "VariationalDropout"), "../family/test_variational_and_concrete.py"
    ),
    "ConsistentDropout": "../family/test_consistent.py",
    "NoisyDense": "../family/test_noisy_dense.py",
    "WeightNoise": "../family/test_weights.py",
}


@dataclasses.dataclass(frozen=True)
class Row:
    """A layer with noise.

    Attributes:
        case: the function that it must equal, with ordinary parameters.
    """

    case: Case

    @property
    def name(self) -> str:
        """The name of the class, in both APIs."""
        return self.case.name.title().replace("_", "")

    @property
    def fields(self) -> dict[str, float]:
        """Ordinary values of the constructor's parameters, in order."""
        return self.fields_of(self.case.params)

    def fields_of(self, params: tuple[Any, ...]) -> dict[str, Any]:
        return dict(zip(self.case.names, params, strict=True))

    @property
    def is_shared(self) -> bool:
        """Whether its noise can be shared along dimensions."""
        return "broadcast_dims" in inspect.signature(self.case.function).parameters

    def function(self, key: jax.Array, x: Any, **arguments: Any) -> jax.Array:
        return self.case.function(key, x, **arguments)

    def __str__(self) -> str:
        return self.name


@dataclasses.dataclass(frozen=True)
class Api:
    """flaxnoise.linen or flaxnoise.nnx.

    Attributes:
        name: linen or nnx.
        layers: the module with our layers.
        base: the base class of all modules.
        call: (layer class, fields, x, stream=key or None, **call) -> y, in training mode.
        first_key: key of the stream -> the key of the layer's first call.
    """

    name: str
    layers: ModuleType
    base: type
    call: Callable[..., jax.Array]
    first_key: Callable[[jax.Array], jax.Array]

    def run(
        self,
        row: Row,
        x: Any,
        *,
        stream: jax.Array | None = None,
        fields: Mapping[str, Any] | None = None,
        **call: Any,
    ) -> jax.Array:
        """Calls a new layer of the row, with its ordinary fields unless others are given."""
        fields = row.fields if fields is None else fields
        return self.call(self.layer(row), fields, x, stream=stream, **call)

    def layer(self, row: Row) -> Any:
        return getattr(self.layers, row.name)

    def public(self) -> set[str]:
        """The names of the public layers of the module."""
        return {
            name
            for name, value in vars(self.layers).items()
            if inspect.isclass(value) and issubclass(value, self.base) and not name.startswith("_")
        }

    def __str__(self) -> str:
        return self.name


def _call_linen(layer: Any, fields: Any, x: Any, *, stream: Any = None, **call: Any) -> jax.Array:
    call = {"deterministic": False, **call}
    rngs = None if stream is None else {"dropout": stream}
    return layer(**fields).apply({}, x, rngs=rngs, **call)


def _call_nnx(layer: Any, fields: Any, x: Any, *, stream: Any = None, **call: Any) -> jax.Array:
    rngs = None if stream is None else flax.nnx.Rngs(dropout=stream)
    return layer(**fields, rngs=rngs)(x, **call)


class _Probe(flax.linen.Module):
    def __call__(self) -> jax.Array:
        return self.make_rng("dropout")


def _first_linen_key(stream: jax.Array) -> jax.Array:
    return _Probe().apply({}, rngs={"dropout": stream})


def _first_nnx_key(stream: jax.Array) -> jax.Array:
    return flax.nnx.Rngs(dropout=stream).dropout.fork()()


ROWS = tuple(map(Row, CASES))
APIS = (
    Api("linen", flaxnoise.linen, flax.linen.Module, _call_linen, _first_linen_key),
    Api("nnx", flaxnoise.nnx, flax.nnx.Module, _call_nnx, _first_nnx_key),
)

every_row = every("row", ROWS, ids=str)
# How a transform treats a layer only depends on its base class, so one exact row and one with
# normals and two parameters are enough.
two_rows = every(
    "row", [row for row in ROWS if row.name in ("Dropout", "MaskedGaussianNoise")], ids=str
)
every_api = pytest.mark.parametrize("api", APIS, ids=str)
