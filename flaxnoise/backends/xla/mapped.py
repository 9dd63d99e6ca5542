"""Noise as one HLO map: a function of scalars, which XLA applies to each element.

XLA inlines a private function into each call and then optimises every copy; the copies of a map
share one computation, so that XLA sees a generator once, however many layers call it. A map is
fused like any other elementwise operation.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.extend.mlir import ir
from jax.extend.mlir.dialects import stablehlo
from jax.interpreters import mlir

from flaxnoise.backends.contract import Call
from flaxnoise.backends.xla.generator import generator
from flaxnoise.stream.kinds import KINDS, Kind
from flaxnoise.stream.noise import draw
from flaxnoise.stream.philox import Words

_PLATFORMS = ("cpu", "cuda", "rocm")


def is_mapped(call: Call) -> bool:
    """Whether the noise of a call is computed by a map.

    Not on TPUs, where XLA takes longer to compile it, and not in programs that it partitions.
    """
    return call.platform in _PLATFORMS and call.sharding == "local" and call.is_static


def mapped_draw(
    call: Call, key: Words, low: jax.Array, high: jax.Array, threshold: jax.Array | None
) -> jax.Array:
    """n of the elements with linear indices (low, high), as by ``stream.noise.draw``."""
    words = [*key, low, high, *([] if threshold is None else [threshold])]
    shape = jnp.broadcast_shapes(*(word.shape for word in words))
    operands = [jnp.broadcast_to(word, shape) for word in words]
    return map_p.bind(*operands, kind=call.kind.name, platform=call.platform)


map_p = Primitive("flaxnoise_map")


@map_p.def_abstract_eval
def _type(low: ShapedArray, *_: ShapedArray, kind: str, platform: str) -> ShapedArray:
    del platform
    return ShapedArray(low.shape, jnp.dtype(KINDS[kind].dtype))


def _lower(ctx: mlir.LoweringRuleContext, *values: Any, kind: str, platform: str) -> Sequence[Any]:
    row: Kind = KINDS[kind]

    def scalar(*words: jax.Array) -> jax.Array:
        k0, k1, k2, k3, low, high, *threshold = words
        key, drop = (k0, k1, k2, k3), threshold[0] if threshold else None
        return draw(row, key, low, high, drop, generator(platform))

    shape = ctx.avals_out[0].shape
    tensor = ir.RankedTensorType.get
    result = tensor(shape, mlir.dtype_to_ir_type(jnp.dtype(row.dtype)))
    axes = ir.DenseI64ArrayAttr.get(list(range(len(shape))))
    op = stablehlo.MapOp(result, list(values), axes)
    word = tensor((), mlir.dtype_to_ir_type(jnp.dtype(jnp.uint32)))
    body = op.regions[0].blocks.append(*[word] * len(values))
    scalars = ctx.replace(
        avals_in=[ShapedArray((), jnp.dtype(jnp.uint32))] * len(values),
        avals_out=[ShapedArray((), jnp.dtype(row.dtype))],
    )
    with ir.InsertionPoint(body):
        stablehlo.return_(mlir.lower_fun(scalar, multiple_results=False)(scalars, *body.arguments))
    return op.results


mlir.register_lowering(map_p, _lower)
