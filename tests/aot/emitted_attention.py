"""Writes the PTX of the attention kernels for H100, so that tests can run parts of it on the CPU.

    JAX_PLATFORMS=cpu PYTHONPATH=… python tests/aot/emitted_attention.py --output FILE

A record has the PTX, what it assembles to, the sizes of the call, and the name of the pass.
"""

import argparse
import json
import pathlib
import tempfile
from typing import Any

import jax
import jax.numpy as jnp

from bench.aot import gpu
from flaxnoise.backends.mosaic_gpu import attention_passes as passes
from flaxnoise.backends.mosaic_gpu.attention_tiles import ROWS, Shape

PASSES = {
    "forward": passes.forward,
    "query_gradient": passes.query_gradient,
    "key_gradients": passes.key_gradients,
}
BASE = Shape(1, 2, 1, 128, 1024, 1024, 1024, 64, 0.125, causal=False, drops=True, wide=False)
PADDED = BASE._replace(keys=256, own_keys=200, row=200)
PROGRAMS = (
    *((name, BASE) for name in PASSES),
    *((name, PADDED._replace(causal=True)) for name in ("forward", "key_gradients")),
    ("forward", PADDED._replace(own_keys=154, row=154)),  # rows that begin inside of a block
    ("query_gradient", BASE._replace(wide=True, size=128)),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    records = [
        {"pass": name, "shape": shape._asdict(), **_compiled(name, shape)}
        for name, shape in PROGRAMS
    ]
    parser.parse_args().output.write_text(json.dumps(records))


def _compiled(name: str, shape: Shape) -> dict[str, Any]:
    text = _ptx(name, shape)
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder, "kernel.ptx")
        source.write_text(text)
        (kernel,) = gpu.kernels_of(source, 1)
    facts = {"instructions": kernel.instructions, "registers": kernel.registers}
    return {"ptx": text, **facts, "spilled": kernel.spilled}


def _ptx(name: str, shape: Shape) -> str:
    examples, heads, kv_heads, queries, keys = shape[:5]
    blocks = examples * heads * queries // ROWS
    of_queries = (examples, queries, heads, shape.size), jnp.bfloat16
    of_keys = (examples, keys, kv_heads, shape.size), jnp.bfloat16
    of_rows = (examples, heads, queries), jnp.float32
    types = [((4,), jnp.uint32), ((1,), jnp.uint32), ((1,), jnp.float32)]
    types += [((blocks, 2), jnp.uint32), of_queries, of_keys, of_keys]
    types += [of_queries, of_rows, of_rows] if name != "forward" else []

    def program(*arrays: jax.Array) -> jax.Array:
        return jax.tree.leaves(PASSES[name](shape, arrays[:4], arrays[4:]))[0]

    files = gpu.emit("h100", program, *(jax.ShapeDtypeStruct(*own) for own in types))
    (text,) = (text for text in files.values() if ".entry" in text and "mosaic" in text)
    return text


if __name__ == "__main__":
    main()
