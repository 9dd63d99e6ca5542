"""The suite aot-attention: what the blockwise form compiles to, beside other forms.

A record has the kernels of the program, the bytes that they read and write, the bytes of its
temporaries, and kernels and bytes of one pass of its innermost loops, which compute a tile. Without
a GPU, XLA leaves calls of cuDNN as they are: their workspace is not known, and not in the numbers.
Records of our kernels have their machine instructions, registers and spilled bytes; on TPUs the
bundles per 1024 weights of the loop of each pass that computes softmax and mask, and its spills.
"""

import contextlib
import math
import pathlib
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental.pallas import tpu as pltpu
from jax.sharding import SingleDeviceSharding

import flaxnoise
from bench import results
from bench.aot import DEVICES as AHEAD
from bench.aot import GPUS, TPUS, gpu, hlo, target, tpu
from bench.contenders import KEYS, on_backend
from bench.measure import Record
from bench.report import progress
from flaxnoise.backends.mosaic_tpu.attention.tile import Tile
from flaxnoise.backends.mosaic_tpu.grid import LANES, SUBLANES
from flaxnoise.stream.index import CHUNK
from flaxnoise.stream.kinds import KINDS

RATE = 0.1
HEADS, SIZE = 8, 64
DTYPE = jnp.dtype(jnp.bfloat16)
BLOCKWISE_ON = ("h100", "v5e")
DEVICES = ("h100", *TPUS)
BLOCKWISE, NAIVE = "attention with dropout, blockwise", "attention with dropout, naive"
JAX_NN, CUDNN = "attention, jax.nn", "attention, jax.nn with cuDNN"
KERNEL, WITHOUT_DROPOUT = "attention with dropout, mosaic_gpu", "attention, mosaic_gpu"
TPU_KERNEL, TPU_WITHOUT_DROPOUT = "attention with dropout, mosaic_tpu", "attention, mosaic_tpu"
TPU_HARDWARE = "attention with the hardware's dropout, mosaic_tpu"
_CUDNN_VERSION = 91200  # jax asks for it when it traces; nothing is asked of cuDNN itself

Attention = Callable[..., jax.Array]


class Case(NamedTuple):
    """Attention of [1, length, 8, 64] queries, keys and values, or its gradient."""

    name: str
    function: Attention
    length: int
    gradient: bool
    devices: tuple[str, ...] = BLOCKWISE_ON

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


def without(key: jax.Array, q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    return flaxnoise.dot_product_attention(key, q, k, v, 0.0)


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


@contextlib.contextmanager
def hardware_masks() -> Iterator[None]:
    """Programs lowered here have our TPU kernels with masks from the generator of the core.

    It is seeded once for each tile, and is the least that a mask can cost; another tile or another
    device has another mask.
    """
    right = Tile.at

    def at(layout: Any, ref: Any, i: jax.Array, j: jax.Array, along: int) -> Tile:
        tile = right(layout, ref, i, j, along)
        seed = tile.scalars["k0"] + tile.scalars["low"]
        pltpu.prng_seed(lax.bitcast_convert_type(seed, jnp.int32), i * layout.blocks[1] + j)
        return tile

    def kept(tile: Tile, row: Any, block: Any) -> list[jax.Array]:
        del row, block
        drawn = [pltpu.prng_random_bits((SUBLANES, LANES)) for _ in range(tile.layout.pieces)]
        u = [lax.bitcast_convert_type(own, jnp.uint32) for own in drawn]
        return [KINDS["keep"].map(own, tile.scalars["threshold"]) for own in u]

    with mock.patch.object(Tile, "at", at), mock.patch.object(Tile, "kept", kept):
        yield


# Mosaic's cache identifies a kernel by its sizes, and the gradient contains the forward pass.
_LENGTHS = ((2048, False), (2048, True), (8192, True))
_KERNEL_LENGTHS = ((1024, False), (2048, True), (8192, True))
_TPU_LENGTHS = ((2048, True),)
_WEIGHTS_OF_STEP = SUBLANES * CHUNK  # computed by one pass of the loop of our TPU kernels

CASES = tuple(
    Case(name, function, length, gradient, devices)
    for name, function, devices, lengths in (
        (BLOCKWISE, blockwise, BLOCKWISE_ON, _LENGTHS),
        (NAIVE, naive, BLOCKWISE_ON, _LENGTHS),
        (JAX_NN, jax_nn, BLOCKWISE_ON, _LENGTHS),
        (CUDNN, cudnn, ("h100",), _LENGTHS),
        (KERNEL, on_backend("mosaic_gpu", blockwise), ("h100",), _KERNEL_LENGTHS),
        (WITHOUT_DROPOUT, on_backend("mosaic_gpu", without), ("h100",), _KERNEL_LENGTHS[:2]),
        (TPU_KERNEL, on_backend("mosaic_tpu", blockwise), TPUS, _TPU_LENGTHS),
        (TPU_WITHOUT_DROPOUT, on_backend("mosaic_tpu", without), TPUS, _TPU_LENGTHS),
        (TPU_HARDWARE, on_backend("mosaic_tpu", blockwise), TPUS, _TPU_LENGTHS),
    )
    for length, gradient in lengths
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
            if only in f"{case.about['case']}, {case.length}":
                progress(f"{device}: {case.about}")
                yield {"record": "compiled", **suite, **case.about, **count(device, case)}


def count(device: str, case: Case) -> Record:
    """Compiles a case and counts. Memory is in MiB, except for moved_per_weight, in bytes."""
    with tempfile.TemporaryDirectory() as folder:
        compiled = compile_for(device, case, folder)
        emitted = pathlib.Path(folder).glob("*.ptx")
        sources = [source for source in emitted if "mosaic" in source.read_text()]
        own = [kernel for source in sources for kernel in gpu.kernels_of(source, DTYPE.itemsize)]
    memory, text = compiled.memory_analysis(), compiled.as_text()
    assert memory is not None
    assert text is not None
    found = hlo.cost(text)
    weights = math.prod((HEADS, case.length, case.length))
    record = {
        "kernels": found.kernels,
        "moved": round(found.moved / 2**20, 1),
        "moved_per_weight": round(found.moved / weights, 2),
        "temporary": round(memory.temp_size_in_bytes / 2**20, 1),
        "tile_kernels": found.tile_kernels,
        "tile_moved": round(found.tile_moved / 2**20, 1),
    }
    if loops := {} if device in GPUS else tpu.loops("flaxnoise_attention"):
        record["bundles"] = {
            name: round(1024 * loop.bundles / _WEIGHTS_OF_STEP, 1) for name, loop in loops.items()
        }
        record["spilled"] = {name: loop.spilled for name, loop in loops.items()}
    if own:
        record["instructions"] = {kernel.name: kernel.instructions for kernel in own}
        record["registers"] = max(kernel.registers for kernel in own)
        record["spilled"] = sum(kernel.spilled for kernel in own)
    return record


def compile_for(device: str, case: Case, folder: str) -> jax.stages.Compiled:
    """Compiles a case for one of aot.GPUS, with dumps in the folder, or of aot.TPUS."""
    on_gpu = device in GPUS
    if not on_gpu:
        tpu.forget()
    place = SingleDeviceSharding((gpu if on_gpu else tpu).topology(device).devices[0])
    key = jax.eval_shape(lambda: jax.random.key_data(KEYS["threefry2x32"]()))
    array = jax.ShapeDtypeStruct(tuple(case.about["shape"]), DTYPE)
    placed = [
        jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=place) for a in (key, array, array, array)
    ]
    program = jax.jit(case.program, out_shardings=place)
    if on_gpu:
        return gpu.compile_into(folder, program, placed)
    masks = hardware_masks if case.name == TPU_HARDWARE else contextlib.nullcontext
    with masks():
        lowered = program.trace(*placed).lower(lowering_platforms=("tpu",))
    return lowered.compile()
