"""Which calls of attention use the kernels for GPUs: lowered for cuda without a GPU, not run."""

from typing import Any

import jax
import jax.numpy as jnp
import pytest

import flaxnoise
from every import every

KEY = jax.random.key(0)
CALL = "mosaic_gpu_v2"
SIZES = (2, 96, 4, 64)
OLD = jax.__version_info__ < (0, 12)
new = pytest.mark.skipif(OLD, reason="Mosaic GPU of jax before 0.12 lacks what the kernels need")


def arrays(*sizes: int, dtype: Any = jnp.bfloat16) -> jax.Array:
    return jnp.ones(sizes or SIZES, dtype)


def lowered(function: Any, *own: Any) -> str:
    return jax.jit(function).trace(*own).lower(lowering_platforms=("cuda",)).as_text()


def forced(q: jax.Array, k: jax.Array, v: jax.Array, rate: Any = 0.1, **options: Any) -> jax.Array:
    with flaxnoise.backend("mosaic_gpu"):
        return flaxnoise.dot_product_attention(KEY, q, k, v, rate, **options)


def gradient(**options: Any) -> Any:
    return jax.grad(lambda *own: forced(*own, **options).astype(jnp.float32).sum(), (0, 1, 2))


@new
@every("size, dtype", [(64, jnp.bfloat16), (128, jnp.float16)])
def test_forward_and_backward_lower_to_kernels(size: int, dtype: Any):
    q, k = arrays(1, 70, 4, size, dtype=dtype), arrays(1, 200, 2, size, dtype=dtype)
    assert lowered(forced, q, k, k).count(CALL) == 1
    assert lowered(gradient(), q, k, k).count(CALL) == 3


@new
@every("options", [{"is_causal": True}, {"broadcast_dropout": True}, {"scale": 0.3}, {"rate": 0.0}])
def test_its_options(options: dict[str, Any]):
    assert lowered(gradient(**options), *[arrays()] * 3).count(CALL) == 3


@new
def test_a_traced_rate():
    traced = lowered(lambda rate, x: forced(x, x, x, rate), 0.1, arrays())
    assert traced.count(CALL) == 1


def test_the_loops_serve_gpus_unless_the_kernels_are_forced():
    def ours(x: jax.Array) -> jax.Array:
        return flaxnoise.dot_product_attention(KEY, x, x, x, 0.1)

    assert CALL not in lowered(ours, arrays())


REFUSED = {
    "float32": ({}, {"dtype": jnp.float32}, "bfloat16 and float16, not float32"),
    "size": ({}, {"sizes": (1, 64, 2, 32)}, "heads of 64 or 128 elements, not 32 and 32"),
    "bias": ({"bias": jnp.zeros((1, 1, 96, 96))}, {}, "has no bias"),
    "mask": ({"mask": jnp.ones((1, 1, 96, 96), bool)}, {}, "has no mask"),
    "window": ({"local_window_size": 3}, {}, "has no local_window_size"),
    "cap": ({"logits_soft_cap": 3.0}, {}, "has no logits_soft_cap"),
    "segments": ({"segment_ids": jnp.zeros((2, 96), int)}, {}, "has no segment_ids"),
    "lengths": (
        {"query_seq_lengths": jnp.ones(2, int), "key_value_seq_lengths": jnp.ones(2, int)},
        {},
        "has no query_seq_lengths, key_value_seq_lengths",
    ),
    "shards of keys": ({"key_value_shard": (1, 2)}, {}, "has no shards of keys"),
    "empty": ({}, {"sizes": (0, 64, 2, 64)}, "has no empty arrays"),
}


@new
@every("name", REFUSED)
def test_what_the_kernels_lack_is_refused_by_name(name: str):
    options, own, reason = REFUSED[name]
    x = arrays(*own.get("sizes", SIZES), dtype=own.get("dtype", jnp.bfloat16))
    with pytest.raises(NotImplementedError, match=f"'mosaic_gpu' cannot .* attention.*{reason}"):
        lowered(lambda x: forced(x, x, x, **options), x)


@new
def test_vmap_is_refused():
    with pytest.raises(NotImplementedError, match="no further batch dimensions, as vmap adds"):
        lowered(jax.vmap(lambda x: forced(x, x, x)), arrays(3, *SIZES))


@pytest.mark.skipif(not OLD, reason="this jax has what the kernels need")
def test_an_older_jax_is_refused_by_name():
    with pytest.raises(NotImplementedError, match=r"its attention needs jax 0\.12, and this is"):
        lowered(lambda x: forced(x, x, x), arrays())


@every("capability", ["8.0", "10.0", "12.0"])
def test_other_gpus_are_refused(capability: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FLAXNOISE_CUDA_CAPABILITY", capability)
    reason = rf"capability 9\.0 \(Hopper\) and below 10\.0, and .* has {capability}"
    reason = "needs jax 0" if OLD else reason
    with pytest.raises(NotImplementedError, match=reason):
        lowered(lambda x: forced(x, x, x), arrays())
