"""Compiles both passes of the attention kernels for a TPU; prints the kernels of each case.

JAX_PLATFORMS=cpu PYTHONPATH=… python tests/aot/tpu_attention.py v5e
"""

import sys
from typing import Any

import jax
import jax.numpy as jnp

import flaxnoise
from bench.aot import tpu

# Dtype, T, S, bias and options: keys in whole chunks; rows that start at a block, or anywhere.
CASES: list[tuple[Any, int, int, tuple[int, ...] | None, dict[str, Any]]] = [
    (jnp.bfloat16, 512, 2048, None, {"is_causal": True}),
    (jnp.float32, 140, 700, (1, 2, 1, 700), {"local_window_size": 100, "logits_soft_cap": 2.0}),
    (jnp.bfloat16, 33, 701, (1, 2, 33, 701), {"key_value_seq_lengths": jnp.asarray([600])}),
]


def compile_case(device: str, dtype: Any, t: int, s: int, bias: Any, options: Any) -> None:
    def both(key: jax.Array, q: jax.Array, k: jax.Array) -> Any:
        added = {} if bias is None else {"bias": jnp.ones(bias, dtype)}

        def attend(q: jax.Array, k: jax.Array) -> jax.Array:
            return flaxnoise.dot_product_attention(key, q, k, k, 0.1, **added, **options)

        with flaxnoise.backend("mosaic_tpu"):
            y, pull = jax.vjp(attend, q, k)
        return pull(y)

    key = jax.ShapeDtypeStruct((4,), jnp.uint32)
    q, k = (jax.ShapeDtypeStruct(shape, dtype) for shape in ((1, t, 2, 64), (1, s, 1, 64)))
    tpu.compile_for(device, both, key, q, k)
    print(*sorted(n for n in tpu.compiled_names() if n.startswith("flaxnoise_att")), flush=True)


if __name__ == "__main__":
    for case in CASES:
        compile_case(sys.argv[1], *case)
