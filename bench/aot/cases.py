"""The cases that are compiled ahead of time: ours, baselines and limits, on typical shapes."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

import flaxnoise
from bench.aot import GPUS
from bench.contenders import DEFAULT_KEY, DRAWN, KEYS, OURS, chain, jax_noise, on_backend
from bench.expectations import FACTOR
from bench.programs import Function

Program = Callable[..., jax.Array]


class Case(NamedTuple):
    """A function of (key, x, *numbers, *bias), and the arguments that it is compiled for.

    Attributes:
        name: identifies the record, together with dtype and shape.
        function: what is compiled.
        shape: of x.
        dtype: of x.
        impl: the key implementation whose raw keys it gets.
        keys: how many keys, in an array; 0 for a single one.
        numbers: how many traced float32 numbers it takes.
        bias: whether it takes a vector of x's last dimension.
        devices: over how many devices x is sharded, along its first dimension.
        only: the names of the devices that it is compiled for; empty for all.
    """

    name: str
    function: Program
    shape: tuple[int, ...]
    dtype: jnp.dtype
    impl: str = DEFAULT_KEY
    keys: int = 0
    numbers: int = 0
    bias: bool = False
    devices: int = 1
    only: tuple[str, ...] = ()

    def arguments(self) -> tuple[jax.ShapeDtypeStruct, ...]:
        key = jax.eval_shape(lambda: jax.random.key_data(KEYS[self.impl]()))
        if self.keys:
            key = jax.ShapeDtypeStruct((self.keys, *key.shape), key.dtype)
        numbers = [jax.ShapeDtypeStruct((), jnp.float32)] * self.numbers
        bias = [jax.ShapeDtypeStruct(self.shape[-1:], self.dtype)] * self.bias
        return key, jax.ShapeDtypeStruct(self.shape, self.dtype), *numbers, *bias


def gradient(function: Function) -> Function:
    """Returns the backward pass alone, which draws the noise again and computes nothing else."""
    return lambda key, dy: jax.linear_transpose(lambda x: function(key, x), dy)(dy)[0]


def chain_gradient(noise: Function) -> Program:
    """Returns the backward pass of the chain in x, with x as dy."""
    return lambda key, x, bias: jax.vjp(lambda x: chain(noise)(key, x, bias), x)[1](x)[0]


def nothing(key: jax.Array, x: jax.Array) -> jax.Array:
    return x


def under(impl: str, function: Function) -> Function:
    """Returns the function of the raw data of a key of this implementation."""
    name = jax.random.key_impl(KEYS[impl]())
    return lambda key, x: function(jax.random.wrap_key_data(key, impl=name), x)


F32, BF16, F16 = (jnp.dtype(t) for t in (jnp.float32, jnp.bfloat16, jnp.float16))
BOTH = (F32, BF16)
SQUARE = (1024, 1024)
SHAPES = ((1 << 20,), SQUARE, (8, 128, 1024), (4, 16, 64, 256), (32, 197, 768))
# Row lengths that are not multiples of 4, in arrays whose size is; 197×197 are attention weights.
ODD_ROWS = ((8, 12, 197, 197), (1022, 1026))
RAGGED, SMALL_RAGGED = ((1023, 1027), (2_000_001,)), (1023, 1023)
CHAIN = "bias+gelu+{}+residual"
DROPOUT, NOISE = OURS["dropout"], OURS["gaussian_noise"]
EXAMPLES = "a key per example"


def _case(work: str, shape: tuple[int, ...] = SQUARE, dtype: jnp.dtype = F32) -> Case:
    return Case(work, OURS[work], shape, dtype)


def _chain(name: str, noise: Function, shape: tuple[int, ...], dtype: jnp.dtype) -> Case:
    return Case(CHAIN.format(name), chain(noise), shape, dtype, bias=True)


def _baselines(dtypes: tuple[jnp.dtype, ...] = BOTH) -> tuple[Case, ...]:
    """A multiplication, Flax's dropout under each key implementation, and jax's normals."""
    flax = DRAWN["dropout"][1]
    return (
        *(Case("multiply", lambda key, x: x * FACTOR, SQUARE, dtype) for dtype in BOTH),
        *(
            Case(f"flax.linen.Dropout, {impl}", under(impl, flax), SQUARE, dtype, impl)
            for impl in KEYS
            for dtype in (dtypes if impl in (DEFAULT_KEY, "rbg") else dtypes[:1])
        ),
        Case("x + s·jax.random.normal", jax_noise, SQUARE, F32),
    )


def _on_mosaic(name: str, function: Program, shape: tuple[int, ...], dtype: jnp.dtype) -> Case:
    forced = on_backend("mosaic_gpu", function)
    return Case(f"{name}, mosaic_gpu", forced, shape, dtype, only=("h100",))


# Mosaic's cache identifies a kernel by its sizes, whatever program it is part of, so each case has
# sizes of its own. Square roots need jax 0.12.
MOSAIC = (
    *(_on_mosaic("dropout", DROPOUT, SQUARE, dtype) for dtype in (*BOTH, F16)),
    *(_on_mosaic("dropout", DROPOUT, shape, F32) for shape in (SHAPES[-1], *ODD_ROWS)),
    *(_on_mosaic("dropout, ragged", DROPOUT, shape, F32) for shape in RAGGED),
    *(_on_mosaic("dropout, gradient", gradient(DROPOUT), (2048, 1024), dtype) for dtype in BOTH),
    _on_mosaic(CHAIN.format("dropout"), chain(DROPOUT), (512, 1024), F32)._replace(bias=True),
    _on_mosaic(f"dropout, {EXAMPLES}", jax.vmap(DROPOUT), SQUARE, F32)._replace(keys=1024),
    *(
        _on_mosaic(work, OURS[work], SQUARE, dtype)
        for work, dtype in (
            ("gaussian_noise", F32),
            ("gaussian_noise", BF16),
            ("gaussian_dropout", F32),
            ("masked_gaussian_noise", F32),
        )
        if jax.__version_info__ >= (0, 12)
    ),
)
GPU_CASES = (
    *(_case("dropout", shape) for shape in (*SHAPES, *ODD_ROWS)),
    *(_case("dropout", shape, BF16) for shape in (SQUARE, SHAPES[3], ODD_ROWS[0])),
    *(Case("dropout, ragged", DROPOUT, shape, dtype) for shape in RAGGED for dtype in BOTH),
    Case("dropout, small and ragged", DROPOUT, SMALL_RAGGED, F32),
    *(Case("dropout, gradient", gradient(DROPOUT), SQUARE, dtype) for dtype in BOTH),
    *(Case("dropout, traced rate", flaxnoise.dropout, SQUARE, dtype, numbers=1) for dtype in BOTH),
    *(
        Case(f"{work}, {EXAMPLES}", jax.vmap(OURS[work]), shape, dtype, keys=1024)
        for work, shape, dtype in (
            *(("dropout", SQUARE, dtype) for dtype in BOTH),
            ("dropout", (1024, 17, 36), F32),
            ("gaussian_noise", SQUARE, F32),
            ("masked_gaussian_noise", SQUARE, F32),
        )
    ),
    *(
        Case("dropout, four devices", DROPOUT, shape, F32, devices=4)
        for shape in ((4096, 1024), (32, 197, 768))
    ),
    *(_case("gaussian_noise", shape) for shape in (SQUARE, *ODD_ROWS)),
    _case("gaussian_noise", dtype=BF16),
    Case("gaussian_noise, ragged", NOISE, RAGGED[0], F32),
    _case("gaussian_dropout"),
    Case("gaussian_dropout, gradient", gradient(OURS["gaussian_dropout"]), SQUARE, F32),
    _case("masked_gaussian_noise"),
    *(
        _chain(name, noise, SQUARE, dtype)
        for name, noise in (("dropout", DROPOUT), ("gaussian_noise", NOISE), ("nothing", nothing))
        for dtype in BOTH
    ),
    _chain("dropout", DROPOUT, SHAPES[2], F32),
    _chain("dropout", DROPOUT, SHAPES[3], BF16),
    *(
        Case(f"{CHAIN.format(name)}, gradient", chain_gradient(noise), SQUARE, dtype, bias=True)
        for name, noise in (("dropout", DROPOUT), ("nothing", nothing))
        for dtype in BOTH
    ),
    Case(f"ragged {CHAIN.format('dropout')}", chain(DROPOUT), RAGGED[0], F32, bias=True),
    *MOSAIC,
    *_baselines(),
    _chain("flax.linen.Dropout", DRAWN["dropout"][1], SQUARE, F32),
)

# One TPU for each kind of vector unit: v5p gives the same counts as v5e, tpu7x as v6e.
COMPARED = ("v4", "v5e", "v6e")
ROWS_OF_768, ROWS_OF_512, ROWS_OF_516 = (1024, 768), (1024, 512), (1024, 516)
FEW_ROWS = ((1 << 20,), (4, 1 << 17))

TPU_CASES = (
    *(_case("dropout", dtype=dtype) for dtype in BOTH),
    *(_case("dropout", shape) for shape in (ROWS_OF_768, ROWS_OF_512, ROWS_OF_516, *FEW_ROWS)),
    _case("dropout", ROWS_OF_768, BF16),
    Case("dropout, gradient", gradient(DROPOUT), SQUARE, F32),
    Case(f"dropout, {EXAMPLES}", jax.vmap(DROPOUT), (16, 64, 1024), F32, keys=16),
    *(_case("gaussian_noise", dtype=dtype) for dtype in BOTH),
    _case("gaussian_dropout"),
    _case("masked_gaussian_noise"),
    *(
        case if case.name == "multiply" else case._replace(only=COMPARED)
        for case in (
            *_baselines((F32,)),
            _chain("dropout", DROPOUT, SQUARE, F32),
            _chain("nothing", nothing, SQUARE, F32),
            *(
                Case(f"{work}, xla form", on_backend("xla", OURS[work]), SQUARE, dtype)
                for work, dtype in (("dropout", F32), ("dropout", BF16), ("gaussian_noise", F32))
            ),
        )
    ),
)


def cases(device: str) -> list[Case]:
    """Returns the cases that are compiled for a device."""
    table = GPU_CASES if device in GPUS else TPU_CASES
    return [case for case in table if not case.only or device in case.only]
