"""The suite aot-attention: what the blockwise form compiles to, beside other forms.

A record has the kernels of the program, the bytes that they read and write, the bytes of its
temporaries, and kernels and bytes of one pass of its innermost loops, which compute a tile. Without
a GPU, XLA leaves calls of cuDNN as they are: their workspace is not known, and not in the numbers.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
from jax.sharding import SingleDeviceSharding

import flaxnoise
from bench import results
from bench.aot import DEVICES as AHEAD
from bench.aot import GPUS, gpu, hlo, target, tpu
from bench.contenders import KEYS
from bench.measure import Record
from bench.report import progress

RATE = 0.1
HEADS, SIZE = 8, 64
DTYPE = jnp.dtype(jnp.bfloat16)
DEVICES = ("h100", "v5e")
BLOCKWISE, NAIVE = "attention with dropout, blockwise", "attention with dropout, naive"
JAX_NN, CUDNN = "attention, jax.nn", "attention, jax.nn with cuDNN"
_CUDNN_VERSION = 91200  # jax asks for it when it traces; nothing is asked of cuDNN itself

Attention = Callable[..., jax.Array]


class Case(NamedTuple):
    """Attention of [1, length, 8, 64] queries, keys and values, or its gradient."""

    name: str
    function: Attention
    length: int
    gradient: bool
    devices: tuple[str, ...] = DEVICES

    @property
    def about(self) -> Record:
        """The fields that identify its record."""
        case = f"{self.name}, gradient" if self.gradient else self.name
        return {"case": case, "shape": [1, self.length, HEADS, SIZE], "dtype": DTYPE.name}

    def program(self, key: jax.Array, *arrays: jax.Array) -> Any:
        """The result, and with ``gradient`` the gradients for a cotangent equal to it."""

        def attention(*arrays: jax.Array) -> jax.Array:
            return self.function(key, *arrays)

        if not self.gradient:
            return attention(*arrays)
        y, transposed = jax.vjp(attention, *arrays)
        return y, transposed(y)


def blockwise(key: jax.Array, q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    return flaxnoise.dot_product_attention(key, q, k, v, RATE)


def naive(key: jax.Array, q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    """Softmax, dropout of an array of all weights, weighted sum; softmax in float32 as jax.nn's."""
    scores = jnp.einsum("btnd,bsnd->bnts", q, k, preferred_element_type=jnp.float32)
    weights = jax.nn.softmax(scores * SIZE**-0.5).astype(q.dtype)
    weights = flaxnoise.attention_dropout(key, weights, RATE)
    return jnp.einsum("bnts,bsnd->btnd", weights, v)


def jax_nn(key: jax.Array, q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    del key
    return jax.nn.dot_product_attention(q, k, v)


def cudnn(key: jax.Array, q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    del key
    checked = "jax._src.cudnn.fused_attention_stablehlo.check_cudnn_version"
    with mock.patch(checked, return_value=_CUDNN_VERSION):
        return jax.nn.dot_product_attention(q, k, v, implementation="cudnn")


CASES = tuple(
    Case(name, function, length, gradient, devices)
    for name, function, devices in (
        (BLOCKWISE, blockwise, DEVICES),
        (NAIVE, naive, DEVICES),
        (JAX_NN, jax_nn, DEVICES),
        (CUDNN, cudnn, ("h100",)),
    )
    for length, gradient in ((2048, False), (2048, True), (8192, True))
)


def cases(device: str) -> list[Case]:
    """Returns the cases that are compiled for a device."""
    return [case for case in CASES if device in case.devices]


def records(devices: Iterable[str], only: str, load: float, command: str) -> Iterator[Record]:
    """Yields the run and the cases of each device that this process can compile for."""
    for device in (d for d in AHEAD[target()] if d in devices and d in DEVICES):
        suite = {"suite": f"aot attention {device}"}
        yield results.describe(suite["suite"], 0, load, command) | {"device": device}
        for case in cases(device):
            if only in case.about["case"]:
                progress(f"{device}: {case.about}")
                yield {"record": "compiled", **suite, **case.about, **count(device, case)}


def count(device: str, case: Case) -> Record:
    """Compiles a case and counts; MiB of bytes moved, in all and per tile, and of temporaries."""
    compiled = compile_for(device, case)
    memory = compiled.memory_analysis()
    assert memory is not None
    text = compiled.as_text()
    assert text is not None
    found = hlo.cost(text)
    weights = math.prod((HEADS, case.length, case.length))
    return {
        "kernels": found.kernels,
        "moved": round(found.moved / 2**20, 1),
        "moved_per_weight": round(found.moved / weights, 2),
        "temporary": round(memory.temp_size_in_bytes / 2**20, 1),
        "tile_kernels": found.tile_kernels,
        "tile_moved": round(found.tile_moved / 2**20, 1),
    }


def compile_for(device: str, case: Case) -> jax.stages.Compiled:
    """Compiles a case for one of aot.GPUS or aot.TPUS."""
    on_gpu = device in GPUS
    place = SingleDeviceSharding((gpu if on_gpu else tpu).topology(device).devices[0])
    key = jax.eval_shape(lambda: jax.random.key_data(KEYS["threefry2x32"]()))
    array = jax.ShapeDtypeStruct(tuple(case.about["shape"]), DTYPE)
    placed = [
        jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=place) for a in (key, array, array, array)
    ]
    traced = jax.jit(case.program, out_shardings=place).trace(*placed)
    return traced.lower(lowering_platforms=("cuda" if on_gpu else "tpu",)).compile()
