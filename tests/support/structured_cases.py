"""The table of functions with structured masks: feature maps, rows, blocks.

A row says along which dimensions the mask is shared, which gives the reference. Properties of a
single function are tested in tests/family.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

import flaxnoise
from every import every
from flaxnoise import random


@dataclass(frozen=True, eq=False)
class Structured:
    """A way to call a public function.

    Attributes:
        function: (key, x, rate, **options) -> y.
        shape: the shape of an x.
        shared: dimensions along which the mask is shared.
        options: the function's keyword arguments.
        scaled: whether kept elements are divided by P(keep).
        least: the smallest number of dimensions of x.
    """

    function: Callable[..., jax.Array]
    shape: tuple[int, ...]
    shared: tuple[int, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    scaled: bool = True
    least: int = 1

    @property
    def layer(self) -> str:
        """The name of its layer."""
        return self.function.__name__.title().replace("_", "")

    @property
    def noise_shape(self) -> tuple[int, ...]:
        return tuple(1 if i in self.shared else size for i, size in enumerate(self.shape))

    def __call__(self, key: jax.Array, x: jax.Array, rate: Any = 0.3) -> jax.Array:
        return self.function(key, x, rate, **self.options)

    def factor(self, key: jax.Array, rate: float = 0.3) -> jax.Array:
        """Returns the factor of x, computed from the noise as a value."""
        scale = 1 / (1 - random.realised_rate(rate)) if self.scaled else jnp.float32(1)
        return jnp.where(random.keep_mask(key, self.noise_shape, rate), scale, 0)

    def __str__(self) -> str:
        return "-".join([self.function.__name__, *map(str, self.options.values())])


STRUCTURED = (
    Structured(flaxnoise.spatial_dropout_1d, (3, 5, 33), (1,), least=2),
    Structured(flaxnoise.spatial_dropout_1d, (2, 3, 5, 33), (2,), least=2),
    Structured(flaxnoise.spatial_dropout_2d, (3, 5, 7, 33), (1, 2), least=3),
    Structured(flaxnoise.spatial_dropout_3d, (3, 2, 5, 3, 33), (1, 2, 3), least=4),
    Structured(flaxnoise.drop_path, (65, 5, 3), (1, 2)),
    Structured(flaxnoise.drop_path, (65, 5), (1,), {"scale": False}, scaled=False),
    Structured(flaxnoise.drop_path, (5, 3), (0, 1), {"mode": "batch"}, least=0),
    Structured(flaxnoise.word_dropout, (3, 33, 5), (2,)),
    Structured(flaxnoise.attention_dropout, (2, 3, 5, 7), (), least=2),
    Structured(
        flaxnoise.attention_dropout, (2, 3, 5, 7), (0, 1), {"broadcast_dropout": True}, least=2
    ),
)

every_structured = every("case", STRUCTURED, ids=str)
