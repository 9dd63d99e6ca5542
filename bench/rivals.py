"""The table of what else one could use: other libraries, and the limits that memory sets."""

import functools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from bench import modules
from bench.hosts import keras_layer, numpy_program, torch_program
from bench.laws import FACTOR, RATE, STDDEV
from bench.programs import Function, Heat, Program, jax_program

KEYS = ("threefry2x32", "rbg", "philox2x32", "philox4x32")


class Rival(NamedTuple):
    """A line of the table; ``build`` imports the library only when it is asked for."""

    work: str
    library: str
    variant: str
    build: Callable[[Heat], Program]


def missing(libraries: Iterable[str]) -> dict[str, str]:
    """The libraries that cannot be imported, and why."""
    reasons = {library: modules.missing(library) for library in libraries}
    return {library: reason for library, reason in reasons.items() if reason is not None}


def _jitted(function: Function, impl: str | None = None) -> Callable[[Heat], Program]:
    return functools.partial(jax_program, function, impl=impl)


BIASED = "is wrong in {}: its mean is off by a hundredth of σ, and nothing is beyond 2.9 σ"


def _wide(build: Callable[[Heat], Program]) -> Callable[[Heat], Program]:
    """Keeps jax.random.normal out of narrow dtypes, where it does not pass the gate."""

    def checked(heat: Heat) -> Program:
        if heat.dtype != "float32":
            raise NotImplementedError(BIASED.format(heat.dtype))
        return build(heat)

    return checked


def _copy(heat: Heat) -> Program:
    if heat.mode == "donated":
        raise NotImplementedError("has nothing to do where memory is donated")
    return jax_program(lambda key, x: jnp.copy(x), heat)


def _linen(key: jax.Array, x: jax.Array, dims: tuple[int, ...] = ()) -> jax.Array:
    layer = modules.load("flax.linen").Dropout(RATE, broadcast_dims=dims, deterministic=False)
    return layer.apply({}, x, rngs={"dropout": key})


def _nnx(key: jax.Array, x: jax.Array) -> jax.Array:
    nnx = modules.load("flax.nnx")
    return nnx.Dropout(RATE, deterministic=False)(x, rngs=nnx.Rngs(dropout=key))


def _equinox(key: jax.Array, x: jax.Array) -> jax.Array:
    return modules.load("equinox").nn.Dropout(RATE)(x, key=key)


def _haiku(key: jax.Array, x: jax.Array) -> jax.Array:
    return modules.load("haiku").dropout(key, RATE, x)


def _jax_noise(key: jax.Array, x: jax.Array) -> jax.Array:
    return x + jnp.asarray(STDDEV, x.dtype) * jax.random.normal(key, x.shape, x.dtype)


def _torch_dropout(torch: Any, x: Any, in_place: bool) -> Any:
    return torch.nn.functional.dropout(x, RATE, True, in_place)


def _torch_noise(torch: Any, x: Any, in_place: bool) -> Any:
    noise = torch.randn(x.shape, dtype=x.dtype)
    return x.add_(noise, alpha=STDDEV) if in_place else x.add(noise, alpha=STDDEV)


RIVALS = (
    Rival("scale", "jax", "x * 1.25", _jitted(lambda key, x: x * jnp.asarray(FACTOR, x.dtype))),
    Rival("copy", "jax", "copy", _copy),
    *(Rival("dropout", "flax.linen", impl, _jitted(_linen, impl)) for impl in KEYS),
    *(Rival("dropout", "flax.nnx", impl, _jitted(_nnx, impl)) for impl in KEYS),
    Rival("dropout", "keras", "Dropout", keras_layer("Dropout", RATE)),
    Rival("dropout", "equinox", "Dropout", _jitted(_equinox)),
    Rival("dropout", "haiku", "dropout", _jitted(_haiku)),
    Rival("dropout", "torch", "dropout", torch_program(_torch_dropout, in_place=True)),
    Rival(
        "dropout",
        "torch",
        "native_dropout",
        torch_program(lambda torch, x, _: torch.native_dropout(x, RATE, True)[0]),
    ),
    Rival(
        "dropout",
        "numpy",
        "SFC64 random",
        numpy_program(lambda rng, x: x * (rng.random(x.shape, x.dtype) >= RATE) / (1 - RATE)),
    ),
    Rival("gaussian_noise", "jax", "random.normal", _wide(_jitted(_jax_noise))),
    Rival("gaussian_noise", "keras", "GaussianNoise", _wide(keras_layer("GaussianNoise", STDDEV))),
    Rival("gaussian_noise", "torch", "randn", torch_program(_torch_noise, in_place=True)),
    Rival(
        "gaussian_noise",
        "numpy",
        "SFC64 standard_normal",
        numpy_program(lambda rng, x: x + STDDEV * rng.standard_normal(x.shape, x.dtype)),
    ),
    Rival(
        "normal",
        "jax",
        "random.normal",
        _jitted(lambda key, x: jax.random.normal(key, x.shape, x.dtype)),
    ),
    Rival(
        "normal",
        "torch",
        "randn",
        torch_program(lambda torch, x, _: torch.randn(x.shape, dtype=x.dtype)),
    ),
    Rival(
        "normal",
        "numpy",
        "SFC64 standard_normal",
        numpy_program(lambda rng, x: rng.standard_normal(x.shape, x.dtype)),
    ),
    Rival("gaussian_dropout", "keras", "GaussianDropout", keras_layer("GaussianDropout", RATE)),
    Rival("alpha_dropout", "keras", "AlphaDropout", keras_layer("AlphaDropout", RATE)),
    Rival(
        "alpha_dropout",
        "torch",
        "alpha_dropout",
        torch_program(lambda torch, x, _: torch.nn.functional.alpha_dropout(x, RATE, True)),
    ),
    Rival("spatial_dropout", "keras", "SpatialDropout2D", keras_layer("SpatialDropout2D", RATE)),
    Rival(
        "spatial_dropout",
        "flax.linen",
        "broadcast_dims",
        _jitted(functools.partial(_linen, dims=(1, 2))),
    ),
)
