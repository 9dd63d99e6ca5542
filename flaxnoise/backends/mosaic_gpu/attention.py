"""Attention with dropout by Mosaic GPU kernels: what they refuse, and the arrays that they take.

The kernels are opt-in, as the backend's other kernel is: they were compiled for H100 and, as far as
Pallas' interpreter goes, interpreted, but have not run on a device.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp

from flaxnoise.backends.attention import Arrays, AttentionCall, Results
from flaxnoise.backends.mosaic_gpu import devices
from flaxnoise.backends.mosaic_gpu.attention_tiles import ROWS, Shape, in_order, in_tiles
from flaxnoise.stream.index import split

SIZES = (64, 128)
_SINCE = (0, 12)
_SINCE_NO_WGMMA = 10.0  # Blackwell has other instructions (PTX ISA, wgmma: sm_90a alone)
_DTYPES = (jnp.bfloat16, jnp.float16)
_HIGH = 1e30  # lse of padding, whose weights then are 0
_PADDED_KEYS = 128
_LOG2E = math.log2(math.e)


@dataclasses.dataclass(frozen=True)
class MosaicGpuAttention:
    """The kernels.

    Attributes:
        interpret: a jax.experimental.pallas.mosaic_gpu.InterpretGPUParams, to run on the CPU.
    """

    interpret: Any = None

    def refuses(self, call: AttentionCall) -> str | None:
        """As Kernel.refuses."""
        if jax.__version_info__ < _SINCE:
            return f"its attention needs jax 0.12, and this is jax {jax.__version__}."
        q, k, v, bias = call.arrays
        if call.batch:
            return "its attention has no further batch dimensions, as vmap adds them."
        if q.dtype not in _DTYPES:
            return f"its attention has bfloat16 and float16, not {q.dtype}."
        if q.shape[-1] not in SIZES or v.shape[-1] != q.shape[-1]:
            own = f"{q.shape[-1]} and {v.shape[-1]}"
            return f"its attention has heads of {' or '.join(map(str, SIZES))} elements, not {own}."
        if 0 in (*q.shape, *k.shape):
            return "its attention has no empty arrays."
        plan, given = call.plan, call.given
        unsupported = {
            "bias": bias,
            "mask": given.mask,
            "segment_ids": given.query_ids,
            "query_seq_lengths": given.query_ends,
            "key_value_seq_lengths": given.key_ends,
            "local_window_size": plan.window,
            "logits_soft_cap": plan.soft_cap,
        }
        names = [name for name, value in unsupported.items() if value is not None]
        if names:
            return f"its attention has no {', '.join(names)}."
        if plan.global_shape[3] != k.shape[1]:
            return "its attention has no shards of keys."
        if plan.causal and plan.global_shape[2] != q.shape[1]:
            return "its attention has no causal masks of shards of queries."
        if plan.global_shape[3] * ROWS >= 1 << 32:
            return "its attention has rows of less than 2^26 weights."
        return devices.refusal(call.devices, call.exported, below=_SINCE_NO_WGMMA)

    def forward(self, plan: Any, arrays: Arrays, given: Any) -> Results:
        """As Kernel.forward."""
        from flaxnoise.backends.mosaic_gpu import attention_passes as passes

        q, k, v, _ = arrays
        shape = _shape(plan, q, k)
        y, top, total = passes.forward(
            shape, _noise(plan, given, shape), _padded(shape, q, k, v), self.interpret
        )
        queries = q.shape[1]
        top, rest = (x[:, :, :queries].transpose(0, 2, 1) for x in (top / _LOG2E, jnp.log(total)))
        return y[:, :queries], top, rest

    def backward(
        self,
        plan: Any,
        arrays: Arrays,
        given: Any,
        results: Results,
        cotangents: tuple[jax.Array, jax.Array],
    ) -> Results:
        """As Kernel.backward."""
        from flaxnoise.backends.mosaic_gpu import attention_passes as passes

        q, k, v, _ = arrays
        (y, top, rest), (dy, drest) = results, cotangents
        shape = _shape(plan, q, k)
        delta = jnp.sum(dy.astype(jnp.float32) * y.astype(jnp.float32), axis=-1) - drest
        queries = (0, shape.queries - q.shape[1])
        by_head = (
            jnp.pad(x.transpose(0, 2, 1), ((0, 0), (0, 0), queries), constant_values=value)
            for x, value in (((top + rest) * _LOG2E, _HIGH), (delta, 0))
        )
        dy = jnp.pad(dy, ((0, 0), queries, (0, 0), (0, 0)))
        noise = _noise(plan, given, shape)
        operands = (*_padded(shape, q, k, v), dy, *by_head)
        dq = passes.query_gradient(shape, noise, operands, self.interpret)[:, : q.shape[1]]
        of_keys = passes.key_gradients(shape, noise, operands, self.interpret)
        groups = (shape.batch, k.shape[1], shape.kv_heads, -1, shape.size)
        dk, dv = (
            in_order(x, shape)[:, : k.shape[1]].reshape(groups).sum(3).astype(own.dtype)
            for x, own in zip(of_keys, (k, v), strict=True)
        )
        return dq.astype(q.dtype), dk, dv


def _shape(plan: Any, q: jax.Array, k: jax.Array) -> Shape:
    batch, queries, heads, size = q.shape
    keys = k.shape[1]
    examples, all_heads, all_queries, row = plan.global_shape
    return Shape(
        batch=batch,
        heads=heads,
        kv_heads=k.shape[2],
        queries=queries + -queries % ROWS,
        keys=keys + -keys % _PADDED_KEYS,
        own_keys=keys,
        row=row,
        size=size,
        scale=plan.scale,
        causal=plan.causal,
        drops=plan.drops,
        wide=(examples * all_heads * all_queries + ROWS) * row >= 1 << 32,
    )


def _padded(shape: Shape, q: jax.Array, k: jax.Array, v: jax.Array) -> tuple[jax.Array, ...]:
    """q, and k and v in tiles, padded with zeros."""

    def to(length: int, x: jax.Array) -> jax.Array:
        return jnp.pad(x, ((0, 0), (0, length - x.shape[1]), (0, 0), (0, 0)))

    return to(shape.queries, q), *(in_tiles(to(shape.keys, x), shape) for x in (k, v))


def _noise(plan: Any, given: Any, shape: Shape) -> Any:
    """The key, threshold and factor, and the indices of the first weights of blocks of queries."""
    if given.words is None or given.threshold is None or given.keep_scale is None:
        return (
            jnp.zeros(4, jnp.uint32),
            jnp.zeros(1, jnp.uint32),
            jnp.ones(1, jnp.float32),
            jnp.zeros((1, 2), jnp.uint32),
        )
    with jax.enable_x64(True):
        blocks = shape.queries // ROWS
        b, n, i = (
            jax.lax.broadcasted_iota(jnp.uint64, (shape.batch, shape.heads, blocks), axis)
            for axis in range(3)
        )
        t = i * jnp.uint64(ROWS)
        if given.origin is not None:
            first = given.origin.astype(jnp.uint64)
            b, n, t = b + first[0], n + first[1], t + first[2]
        if not plan.shared:
            t = t + (b * jnp.uint64(plan.global_shape[1]) + n) * jnp.uint64(plan.global_shape[2])
        starts = jnp.stack(split(t * jnp.uint64(plan.global_shape[3])), axis=-1).reshape(-1, 2)
    return (
        given.words.reshape(4),
        given.threshold.reshape(1),
        given.keep_scale.reshape(1).astype(jnp.float32),
        starts,
    )
