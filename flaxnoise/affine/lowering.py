"""The lowering rule: chooses a backend for the platform, and traces only that backend."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import mlir

from flaxnoise.affine import private
from flaxnoise.affine.primitive import affine_p
from flaxnoise.affine.sharding import (
    per_automatic_shard,
    per_explicit_shard,
    surroundings,
    with_divisible_axes,
)
from flaxnoise.backends.choice import choose
from flaxnoise.backends.contract import Backend, Call, named, result

_NO_MESH = jax.sharding.AbstractMesh((), ())


def _lower(
    ctx: mlir.LoweringRuleContext,
    *values: Any,
    names: tuple[str, ...],
    backend: str | None,
    sharding: Any,
    **params: Any,
) -> Sequence[Any]:
    del sharding  # already in the output's type
    call = Call.of(
        named(names, ctx.avals_in),
        **params,
        sharding=surroundings(ctx),
        platform=private.platform(ctx),
        exported=private.is_exported(ctx),
        devices=private.program_devices(ctx),
    )
    chosen = choose(call, backend)
    if call.sharding == "local" or not chosen.is_kernel:
        # An in-place kernel must see which value it gets, which a shared function would hide.
        bind = _inline if chosen.is_in_place else _share
        return lower_plain(ctx, values, lambda *arrays: bind(chosen, call, arrays))
    if call.sharding == "explicit":
        per_shard = per_explicit_shard(call, ctx.avals_out[0], backend)
        return mlir.lower_fun(per_shard, multiple_results=False)(ctx, *values)
    return lower_plain(with_divisible_axes(ctx), values, per_automatic_shard(call, backend))


def lower_plain(
    ctx: mlir.LoweringRuleContext,
    values: Sequence[Any],
    traced: Callable[..., Any],
    multiple_results: bool = False,
) -> Sequence[Any]:
    """Lowers a function with types that have no mesh.

    With the types of a mesh the arrays would be replicated. Without them, the compiler partitions
    the operations to match their operands.
    """

    def without_mesh(*arrays: jax.Array) -> Any:
        with jax.sharding.use_abstract_mesh(_NO_MESH):
            return traced(*arrays)

    plain = ctx.replace(avals_in=_plain(ctx.avals_in), avals_out=_plain(ctx.avals_out))
    return mlir.lower_fun(without_mesh, multiple_results=multiple_results)(plain, *values)


def _plain(avals: Sequence[Any]) -> list[ShapedArray]:
    return [ShapedArray(aval.shape, aval.dtype) for aval in avals]


def _inline(backend: Backend, call: Call, arrays: Sequence[jax.Array]) -> jax.Array:
    return result(backend, call, named(call.types, arrays))


def _share(backend: Backend, call: Call, arrays: Sequence[jax.Array]) -> jax.Array:
    """The same as a single equation, which is lowered to a private function."""
    return shared_p.bind(*arrays, backend=backend, call=call)


shared_p = Primitive("flaxnoise_noise")


@shared_p.def_abstract_eval
def _shared_type(*_: Any, backend: Backend, call: Call) -> ShapedArray:
    del backend
    return ShapedArray(call.result, call.dtype)


def _lower_shared(
    ctx: mlir.LoweringRuleContext, *values: Any, backend: Backend, call: Call
) -> Sequence[Any]:
    def traced(*arrays: jax.Array) -> jax.Array:
        return _inline(backend, call, arrays)

    return mlir.lower_fun(traced, multiple_results=False)(ctx, *values)


# Equal calls share one private function, which keeps the text of a program with many layers short.
# XLA inlines the function and fuses it with its neighbours.
mlir.register_lowering(shared_p, _lower_shared, inline=False)

# Not cacheable, because an in-place kernel must see which value it gets, which a cached function
# would hide. One rule for all platforms, because jax 0.10 cannot lower a primitive with uncacheable
# rules per platform in a program for several platforms.
mlir.register_lowering(affine_p, _lower, cacheable=False)
