"""Writes the PTX of several kernels for H100, so that tests can run it on the CPU.

    JAX_PLATFORMS=cpu PYTHONPATH=… python tests/aot/emitted.py --output FILE

Each program is one call of the primitive. A record has its PTX, the operands that the kernel's
parameters are (the result is the last), and the number of thread blocks.
"""

import argparse
import json
import math
import pathlib
import re
from typing import Any

import jax
import jax.numpy as jnp

from bench.aot import gpu
from flaxnoise.affine import affine

THREADS = 128  # of one program of Mosaic
TILED = ((2, 1024), (3, 1024), (5, 1031))  # one tile, several, and with a tail
# Shards with any start in arrays of more than 2^32 elements; the second is sharded along both axes.
SHARDS = (
    {"shape": (2048,), "global_shape": (1 << 40,)},
    {"shape": (3, 684), "global_shape": (1 << 24, 1368)},
)
# A key per example; in the second, the four elements of a thread may belong to two examples.
EXAMPLES = ({"shape": (17, 36), "keys": 3}, {"shape": (1001,), "keys": 4})

UNIFORM = ("uniform", "unit_uniform")
ONE_DIMENSION = ("bits", *UNIFORM, "normal", "laplace")

# (backend, kind, terms, dtype of x, shape or shard)
PROGRAMS = (
    *(("xla", "keep", "b", dtype, (33, 36)) for dtype in ("float32", "bfloat16", "float16")),
    *(("xla", "keep", "b", "float32", shape) for shape in ((1001,), (3, 5, 1028))),
    *(("xla", "keep", "b", "float32", examples) for examples in EXAMPLES),
    *(("xla", kind, "", "float32", (1001,)) for kind in ONE_DIMENSION),
    ("xla", "normal", "ad", "bfloat16", (33, 36)),
    *(("xla", "masked_normal", terms, "float32", (33, 36)) for terms in ("", "ad")),
    *(("mosaic_gpu", "keep", "b", "float32", shape) for shape in TILED),
    *(("mosaic_gpu", "keep", "b", dtype, (2, 1024)) for dtype in ("bfloat16", "float16")),
    *(("mosaic_gpu", kind, "", "float32", (3, 1024)) for kind in (*UNIFORM, "bits", "keep")),
    *(("mosaic_gpu", kind, "", "float32", (2, 1024)) for kind in ("normal", "laplace")),
    ("mosaic_gpu", "masked_normal", "", "float32", (3, 1024)),
    ("mosaic_gpu", "normal", "ad", "bfloat16", (2, 1024)),
    *(("mosaic_gpu", kind, "", "float32", box) for kind in ("bits", "keep") for box in SHARDS),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    records = [_record(*program) for program in PROGRAMS if _is_served(*program)]
    parser.parse_args().output.write_text(json.dumps(records))


def _is_served(backend: str, kind: str, *_: object) -> bool:
    """Whether the backend supports the kind; Mosaic GPU has square roots from jax 0.12 on."""
    roots = backend == "mosaic_gpu" and "normal" in kind
    return not roots or jax.__version_info__ >= (0, 12)


def _record(
    backend: str, kind: str, terms: str, dtype: str, box: tuple[int, ...] | dict[str, Any]
) -> dict:
    box = box if isinstance(box, dict) else {"shape": box}
    shape = box["shape"]
    batch = (box["keys"],) if "keys" in box else ()
    one = (1,) * (len(batch) + len(shape))
    operands = {"key": jax.ShapeDtypeStruct((*batch, 4), jnp.uint32)}
    if "global_shape" in box:
        operands["start"] = jax.ShapeDtypeStruct((2,), jnp.uint32)
    if kind in ("keep", "masked_normal"):
        operands["threshold"] = jax.ShapeDtypeStruct(one, jnp.uint32)
    if terms:
        operands["x"] = jax.ShapeDtypeStruct((*batch, *shape), dtype)
    operands |= {name: jax.ShapeDtypeStruct(one, jnp.float32) for name in terms}
    value = {"bits": "uint32", "keep": "bool"}.get(kind, dtype)
    result = dtype if terms else value
    params = {"kind": kind, "shape": shape, "dtype": result, "backend": backend}
    if "global_shape" in box:
        params["global_shape"] = box["global_shape"]

    def program(*values: jax.Array) -> jax.Array:
        return affine(dict(zip(operands, values, strict=True)), **params)

    files = gpu.emit("h100", program, *operands.values())
    call = "custom-call" if backend == "mosaic_gpu" else "fusion"
    (ptx,) = (text for text in map(files.get, files) if _is_kernel(text, backend))
    hlo = next(text for name, text in files.items() if name.endswith("after_optimizations.txt"))
    launches = next(text for name, text in files.items() if name.endswith("thunk_sequence.txt"))
    names = [*operands]
    return {
        "backend": backend,
        "kind": kind,
        "terms": terms,
        "dtype": dtype,
        "result": result,
        "shape": shape,
        "keys": box.get("keys"),
        "global_shape": params.get("global_shape"),
        "ptx": ptx,
        "operands": [names[number] for number in _parameters(hlo, call)],
        **_extent(ptx, launches, backend, math.prod((*batch, *shape)), jnp.dtype(result).itemsize),
    }


def _is_kernel(text: str, backend: str) -> bool:
    return ".entry" in text and ("mosaic" in text) == (backend == "mosaic_gpu")


def _parameters(hlo: str, call: str) -> list[int]:
    """Returns the numbers of the program's parameters that the kernel takes, in its order."""
    entry = hlo[hlo.index("ENTRY") :]
    origin = dict(re.findall(r"%(\S+) = \S+ bitcast\(%(\S+?)\)", entry))
    number = dict(re.findall(r"%(\S+) = \S+ parameter\((\d+)\)", entry))
    found = re.search(rf" {call}\((.*?)\), (?:kind|custom_call_target)=", entry)
    assert found, entry
    operands = [name.strip().lstrip("%") for name in found[1].split(",")]
    return [int(number[origin.get(name, name)]) for name in operands]


def _extent(ptx: str, launches: str, backend: str, size: int, item: int) -> dict[str, int]:
    """Returns the number of thread blocks, and of the elements that they write."""
    if backend == "mosaic_gpu":
        stores = re.findall(r"st\.global\.(?:v(\d)\.)?b(\d+)", ptx)
        tile = THREADS * sum(int(n or 1) * int(bits) // 8 for n, bits in stores) // item
        return {"blocks": size // tile, "written": size // tile * tile}
    grid = re.search(r"grid: \[(\d+), 1, 1\]", launches)
    assert grid, launches
    return {"blocks": int(grid[1]), "written": size}


if __name__ == "__main__":
    main()
