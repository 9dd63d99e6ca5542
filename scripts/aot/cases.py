"""What is compiled ahead of time: ours, Flax's, and the limits, on shapes that models have."""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

import flaxnoise

RATE, STDDEV = 0.3, 0.1


class Case(NamedTuple):
    """A function of (key, x), or of (key, x, *numbers), and the array that it is compiled for.

    Attributes:
        name: with dtype and shape, of the row in the report.
        function: what is compiled.
        shape: of x.
        dtype: of x.
        key_implementation: whose raw keys it gets.
        keys: how many keys, in an array; 0 for a single one.
        numbers: how many traced float32 numbers it takes besides.
        bias: whether it takes a vector of x's last dimension besides.
        devices: how many share x, cut along its first dimension.
        only: the names of the devices that it is compiled for; empty for all.
    """

    name: str
    function: Callable[..., jax.Array]
    shape: tuple[int, ...]
    dtype: jnp.dtype
    key_implementation: str = "threefry2x32"
    keys: int = 0
    numbers: int = 0
    bias: bool = False
    devices: int = 1
    only: tuple[str, ...] = ()

    def arguments(self) -> tuple[jax.ShapeDtypeStruct, ...]:
        key = jax.eval_shape(lambda: jax.random.PRNGKey(0, impl=self.key_implementation))
        if self.keys:
            key = jax.ShapeDtypeStruct((self.keys, *key.shape), key.dtype)
        numbers = [jax.ShapeDtypeStruct((), jnp.float32)] * self.numbers
        bias = [jax.ShapeDtypeStruct(self.shape[-1:], self.dtype)] * self.bias
        return key, jax.ShapeDtypeStruct(self.shape, self.dtype), *numbers, *bias


def dropout(key, x):
    return flaxnoise.dropout(key, x, RATE)


def gaussian_noise(key, x):
    return flaxnoise.gaussian_noise(key, x, STDDEV)


def gaussian_dropout(key, x):
    return flaxnoise.gaussian_dropout(key, x, RATE)


def masked_gaussian_noise(key, x):
    return flaxnoise.masked_gaussian_noise(key, x, RATE, STDDEV)


def flax_dropout(key, x, implementation="threefry2x32"):
    key = jax.random.wrap_key_data(key, impl=implementation)
    return nn.Dropout(RATE, deterministic=False).apply({}, x, rngs={"dropout": key})


def flax_dropout_rbg(key, x):
    return flax_dropout(key, x, "rbg")


def chain(noise):
    """Bias, gelu, noise, residual: what stands around dropout in a transformer."""
    return lambda key, x, bias: x + noise(key, jax.nn.gelu(x + bias))


def gradient(function):
    """The backward pass alone: the noise is drawn again, nothing else is computed."""
    return lambda key, dy: jax.linear_transpose(lambda x: function(key, x), dy)(dy)[0]


def chain_gradient(noise):
    """The backward pass of the chain in x, with x for dy as well."""
    return lambda key, x, bias: jax.vjp(lambda x: chain(noise)(key, x, bias), x)[1](x)[0]


def nothing(key, x):
    return x


def on_mosaic(function):
    """The function, served by the Pallas kernel."""

    def forced(*arguments):
        with flaxnoise.backend("mosaic_gpu"):
            return function(*arguments)

    return forced


F32, BF16 = jnp.dtype(jnp.float32), jnp.dtype(jnp.bfloat16)
SQUARE = (1024, 1024)
# For Mosaic, whose cache knows a kernel by its sizes, not by its use.
SHORT, TALL = (512, 1024), (2048, 1024)
SHAPES = ((1 << 20,), SQUARE, (8, 128, 1024), (4, 16, 64, 256), (32, 197, 768))
# Sizes that divide by four and rows that do not; those of 197 are attention weights.
ODD_ROWS = ((8, 12, 197, 197), (1022, 1026))
RAGGED, SMALL_RAGGED = ((1023, 1027), (2_000_001,)), (1023, 1023)
F16 = jnp.dtype(jnp.float16)
CHAIN = "bias+gelu+{}+residual"

# Mosaic GPU has square roots from jax 0.12 on.
NORMALS_ON_MOSAIC = (
    ("gaussian_noise", gaussian_noise, SQUARE, F32),
    ("gaussian_noise", gaussian_noise, SQUARE, BF16),
    ("gaussian_dropout", gaussian_dropout, SQUARE, F32),
    ("masked_gaussian_noise", masked_gaussian_noise, SQUARE, F32),
)[: 4 if jax.__version_info__ >= (0, 12) else 0]

CASES = (
    *(Case("dropout", dropout, shape, F32) for shape in (*SHAPES, *ODD_ROWS)),
    *(Case("dropout", dropout, shape, BF16) for shape in (SQUARE, SHAPES[3], ODD_ROWS[0])),
    *(Case("dropout, ragged", dropout, shape, dtype) for shape in RAGGED for dtype in (F32, BF16)),
    Case("dropout, small and ragged", dropout, SMALL_RAGGED, F32),
    *(Case("dropout, gradient", gradient(dropout), SQUARE, dtype) for dtype in (F32, BF16)),
    *(Case("dropout, traced rate", flaxnoise.dropout, SQUARE, d, numbers=1) for d in (F32, BF16)),
    *(
        Case(f"{name}, a key per example", jax.vmap(function), shape, dtype, keys=1024)
        for name, function, shape, dtype in (
            *(("dropout", dropout, SQUARE, dtype) for dtype in (F32, BF16)),
            ("dropout", dropout, (1024, 17, 36), F32),
            ("gaussian_noise", gaussian_noise, SQUARE, F32),
            ("masked_gaussian_noise", masked_gaussian_noise, SQUARE, F32),
        )
    ),
    Case("dropout, four devices", dropout, (4096, 1024), F32, devices=4),
    Case("dropout, four devices", dropout, (32, 197, 768), F32, devices=4),
    *(Case("gaussian_noise", gaussian_noise, shape, F32) for shape in (SQUARE, *ODD_ROWS)),
    Case("gaussian_noise", gaussian_noise, SQUARE, BF16),
    Case("gaussian_noise, ragged", gaussian_noise, RAGGED[0], F32),
    Case("gaussian_dropout", gaussian_dropout, SQUARE, F32),
    Case("gaussian_dropout, gradient", gradient(gaussian_dropout), SQUARE, F32),
    Case("masked_gaussian_noise", masked_gaussian_noise, SQUARE, F32),
    *(
        Case(CHAIN.format(noise.__name__), chain(noise), SQUARE, dtype, bias=True)
        for noise in (dropout, gaussian_noise, nothing)
        for dtype in (F32, BF16)
    ),
    Case(CHAIN.format("dropout"), chain(dropout), SHAPES[2], F32, bias=True),
    Case(CHAIN.format("dropout"), chain(dropout), SHAPES[3], BF16, bias=True),
    *(
        Case(
            f"{CHAIN.format(noise.__name__)}, gradient", chain_gradient(noise), SQUARE, d, bias=True
        )
        for noise in (dropout, nothing)
        for d in (F32, BF16)
    ),
    Case(f"ragged {CHAIN.format('dropout')}", chain(dropout), RAGGED[0], F32, bias=True),
    *(
        Case(f"{name}, mosaic_gpu", on_mosaic(function), shape, dtype, only=("h100",))
        for name, function, shape, dtype in (
            *(("dropout", dropout, SQUARE, dtype) for dtype in (F32, BF16, F16)),
            *(("dropout", dropout, shape, F32) for shape in (SHAPES[-1], *ODD_ROWS)),
            *(("dropout, ragged", dropout, shape, F32) for shape in RAGGED),
            *(("dropout, gradient", gradient(dropout), TALL, dtype) for dtype in (F32, BF16)),
            *NORMALS_ON_MOSAIC,
        )
    ),
    Case(
        f"{CHAIN.format('dropout')}, mosaic_gpu",
        on_mosaic(chain(dropout)),
        SHORT,
        F32,
        bias=True,
        only=("h100",),
    ),
    Case(
        "dropout, a key per example, mosaic_gpu",
        on_mosaic(jax.vmap(dropout)),
        SQUARE,
        F32,
        keys=1024,
        only=("h100",),
    ),
    *(Case("multiply", lambda key, x: x * 1.25, SQUARE, dtype) for dtype in (F32, BF16)),
    *(Case("flax.linen.Dropout, threefry2x32", flax_dropout, SQUARE, d) for d in (F32, BF16)),
    *(Case("flax.linen.Dropout, rbg", flax_dropout_rbg, SQUARE, d, "rbg") for d in (F32, BF16)),
    Case(CHAIN.format("flax.linen.Dropout"), chain(flax_dropout), SQUARE, F32, bias=True),
    Case(
        "x + s·jax.random.normal",
        lambda key, x: x + STDDEV * jax.random.normal(key, x.shape, x.dtype),
        SQUARE,
        F32,
    ),
)
