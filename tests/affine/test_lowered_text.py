"""A program of many equal layers stays short: their calls share one private function."""

import re
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

import flaxnoise
from cases import KEY
from every import every

LAYERS = 24
X = jnp.ones((32, 64))

Layer = Callable[[jax.Array, jax.Array], jax.Array]


def stack(layer: Layer) -> Callable[[jax.Array, jax.Array], jax.Array]:
    def apply(key: jax.Array, x: jax.Array) -> jax.Array:
        for i in range(LAYERS):
            x = layer(jax.random.fold_in(key, i), jnp.tanh(x))
        return x

    return apply


def gradient(layer: Layer) -> Callable[[jax.Array, jax.Array], jax.Array]:
    return jax.grad(lambda key, x: stack(layer)(key, x).sum(), argnums=1)


def ours(key: jax.Array, x: jax.Array) -> jax.Array:
    return flaxnoise.dropout(key, x, 0.3)


def flax(key: jax.Array, x: jax.Array) -> jax.Array:
    dropout = nn.Dropout(0.3, deterministic=False)
    return jnp.asarray(dropout.apply({}, x, rngs={"dropout": key}))


def for_platform(function: Callable[..., object], *platforms: str) -> str:
    return jax.jit(function).trace(KEY, X).lower(lowering_platforms=platforms).as_text()


def for_cuda(function: Callable[..., object]) -> str:
    return for_platform(function, "cuda")


def exported(function: Callable[..., jax.Array]) -> str:
    return str(jax.export.export(jax.jit(function))(KEY, X).mlir_module())


def of_cpu_forced(function: Callable[..., jax.Array]) -> str:
    with flaxnoise.backend("xla"):
        return jax.jit(function).lower(KEY, X).as_text()


@every("text", [for_cuda, exported, of_cpu_forced])
@every("program", [stack, gradient])
def test_text_of_24_layers_is_at_most_4_times_that_of_flax(
    text: Callable[..., str], program: Callable[..., Callable[..., jax.Array]]
):
    assert len(text(program(ours))) <= 4 * len(text(program(flax)))


@every(("program", "calls"), [(stack, LAYERS), (gradient, 2 * LAYERS)])
def test_all_layers_and_their_gradients_share_one_function(
    program: Callable[..., Callable[..., jax.Array]], calls: int
):
    text = for_cuda(program(ours))
    assert len(re.findall(r"func private @flaxnoise_noise", text)) == 1
    # The gradient of a sum does not need the last layer's value.
    assert len(re.findall(r"call @flaxnoise_noise", text)) in (calls, calls - 1)


@every("platform", ["cpu", "cuda"])
def test_the_generator_is_one_map_that_all_layers_share(platform: str):
    """The copies that XLA makes of a function share the computation of a map in it."""
    with flaxnoise.backend("xla"):
        text = for_platform(gradient(ours), platform)
    assert text.count("stablehlo.map") == 1


@every("platforms", [("tpu",), ("cpu", "cuda")])
def test_the_generator_is_no_map_where_that_is_slower_or_the_platform_unknown(
    platforms: tuple[str, ...],
):
    with flaxnoise.backend("xla"):
        assert "stablehlo.map" not in for_platform(ours, *platforms)


def test_calls_that_differ_share_nothing():
    def layers(key: jax.Array, x: jax.Array) -> list[jax.Array]:
        y, z = flaxnoise.dropout(key, x, 0.3), flaxnoise.dropout(key, x[:5], 0.3)
        return [
            y,
            z,
            flaxnoise.dropout(key, x, 0.3, broadcast_dims=0),
            flaxnoise.dropout(key, x.astype(jnp.bfloat16), 0.3),
            flaxnoise.gaussian_noise(key, x, 0.3),
        ]

    assert len(re.findall(r"func private @flaxnoise_noise", for_cuda(layers))) == 5
