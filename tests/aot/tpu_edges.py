"""Compiles every kind of noise for a TPU, and edge cases of shapes and dtypes; prints each.

JAX_PLATFORMS=cpu PYTHONPATH=… python tests/aot/tpu_edges.py v5e
"""

import sys

import jax
import jax.numpy as jnp

from bench.aot import tpu
from flaxnoise.backends.contract import Call, result
from flaxnoise.backends.mosaic_tpu.backend import MosaicTpu
from flaxnoise.stream.kinds import KINDS

WIDE = 1 << 24  # rows of an array that needs 64-bit indices
EDGES = [  # kind, shape, dtype, shape of the global array
    *((kind, (64, 512), row.dtype, None) for kind, row in KINDS.items()),
    *(("masked_normal", (64, 512), dtype, None) for dtype in (jnp.bfloat16, jnp.float16)),
    ("keep", (3,), jnp.float32, None),
    ("keep", (5, 256), jnp.bfloat16, None),
    ("keep", (33, 129), jnp.bfloat16, None),
    ("keep", (100, 1000), jnp.bfloat16, None),
    ("keep", (258, 768), jnp.bfloat16, None),
    ("masked_normal", (130, 512), jnp.float16, None),
    ("keep", (130, 512), jnp.float32, (WIDE, 512)),
    ("uniform", (9, 1152), jnp.float32, None),
    ("keep", (64, 1024), jnp.float32, (WIDE, 1024)),
    ("normal", (64, 512), jnp.float32, (WIDE, 512)),
]


def compile_edge(
    device: str, kind: str, shape: tuple[int, ...], dtype: jnp.dtype, whole: tuple[int, ...] | None
) -> None:
    ones = (1,) * len(shape)
    operands = {"key": jax.ShapeDtypeStruct((4,), jnp.uint32)}
    if KINDS[kind].drops:
        operands["threshold"] = jax.ShapeDtypeStruct(ones, jnp.uint32)
    if whole is not None:
        operands["start"] = jax.ShapeDtypeStruct((2,), jnp.uint32)
    if jnp.issubdtype(dtype, jnp.floating):
        operands["x"] = jax.ShapeDtypeStruct(shape, dtype)
        operands |= {name: jax.ShapeDtypeStruct(ones, jnp.float32) for name in "abcd"}
    params = {"kind": kind, "shape": shape, "global_shape": whole, "dtype": dtype}
    call = Call.of(operands, **params)
    tpu.compile_for(
        device,
        lambda *values: result(MosaicTpu(), call, dict(zip(operands, values, strict=True))),
        *operands.values(),
    )
    names = [name for name in tpu.compiled_names() if name.startswith("flaxnoise")]
    print(kind, shape, jnp.dtype(dtype).name, *names, flush=True)


if __name__ == "__main__":
    for edge in EDGES:
        compile_edge(sys.argv[1], *edge)
