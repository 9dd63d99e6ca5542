"""Primitives for attention by the kernel of a forced backend.

``kernel_p`` is one pass of attention, forward or backward. Its lowering rule asks the backend. Its
derivative is that of ``Pass.otherwise``, the same pass in jax.numpy, which no kernel serves.

``tangent_p`` is the derivative of the forward pass, a linear function of the tangents. It is
computed in jax.numpy; its transpose is the backward pass, and so a kernel.

Operands are the leaves of a tree; the dimensions that vmap has added come first.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from flaxnoise.affine import private
from flaxnoise.affine.devices import asks_devices_p
from flaxnoise.affine.lowering import lower_plain
from flaxnoise.affine.sharding import surroundings
from flaxnoise.backends.attention import Arrays, AttentionCall, Results
from flaxnoise.backends.choice import attention_kernel, needs_devices


@dataclasses.dataclass(frozen=True)
class Pass:
    """One pass of attention.

    Attributes:
        name: name of the method of ``backends.attention.Kernel``, or "tangent".
        plan: plan of the call.
        otherwise: the pass in jax.numpy, a function of (plan, *trees); hashable.
        structure: structure of the operands as a list of trees, of which the first is (q, k, v,
            bias) and the second ``Given``.
        levels: for each vmap, the innermost first: its size, and which operands have its dimension.
    """

    name: str
    plan: Any
    otherwise: Callable[..., Any]
    structure: Any
    levels: tuple[tuple[int, tuple[bool, ...]], ...] = ()

    def traced(self, function: Callable[..., Any]) -> Callable[..., list[jax.Array]]:
        """A function of (plan, *trees) as a function of the operands."""

        def flat(*leaves: jax.Array) -> list[jax.Array]:
            return jax.tree.leaves(function(self.plan, *jax.tree.unflatten(self.structure, leaves)))

        for _, batched in self.levels:
            flat = jax.vmap(flat, in_axes=tuple(0 if own else None for own in batched))
        return flat

    def types(self, avals: Sequence[Any]) -> list[Any]:
        """The types of the operands without the dimensions of vmap, as trees."""
        ranks = [sum(batched[i] for _, batched in self.levels) for i in range(len(avals))]
        own = [
            ShapedArray(aval.shape[rank:], aval.dtype)
            for aval, rank in zip(avals, ranks, strict=True)
        ]
        return jax.tree.unflatten(self.structure, own)

    @property
    def batch(self) -> tuple[int, ...]:
        """Sizes of the dimensions of vmap, the outermost first."""
        return tuple(size for size, _ in reversed(self.levels))


def forward(plan: Any, arrays: Arrays, given: Any, otherwise: Callable[..., Any]) -> Results:
    """(y, top, rest) by the kernel of ``plan.backend``, which must have one."""
    if needs_devices(plan.backend):
        arrays = (asks_devices_p.bind(arrays[0]), *arrays[1:])
    y, top, rest = _bind(kernel_p, "forward", plan, otherwise, arrays, given)
    return y, top, rest


def tangent(
    plan: Any,
    arrays: Arrays,
    given: Any,
    results: Results,
    tangents: tuple[jax.Array, jax.Array, jax.Array],
    *,
    otherwise: Callable[..., Any],
    backward: Callable[..., Any],
) -> tuple[jax.Array, jax.Array]:
    """The tangents of y and rest, with a backward pass by the kernel of ``plan.backend``.

    Args:
        plan: plan of the call.
        arrays: (q, k, v, bias).
        given: the arrays without a gradient.
        results: (y, top, rest).
        tangents: those of q, k and v.
        otherwise: the result in jax.numpy, a function of all arguments above.
        backward: its transpose in jax.numpy, a function of (plan, arrays, given, results,
            cotangents).
    """
    parameters = {"backward": backward, "linear": 3}
    own = _bind(tangent_p, "tangent", plan, otherwise, arrays, given, results, tangents, parameters)
    return own[0], own[1]


def _bind(
    primitive: Primitive, name: str, plan: Any, otherwise: Any, *trees: Any
) -> Sequence[jax.Array]:
    parameters = trees[-1] if primitive is tangent_p else {}
    trees = trees[:-1] if primitive is tangent_p else trees
    leaves, structure = jax.tree.flatten(list(trees))
    return primitive.bind(*leaves, of=Pass(name, plan, otherwise, structure), **parameters)


kernel_p = Primitive("flaxnoise_attention")
tangent_p = Primitive("flaxnoise_attention_tangent")


def _abstract(*avals: Any, of: Pass, **_: Any) -> list[Any]:
    q, k, v, _ = of.types(avals)[0]
    row = jnp.promote_types(q.dtype, jnp.float32)
    y = (*q.shape[:-1], v.shape[-1])
    found = {
        "forward": [(y, q.dtype), (y[:-1], row), (y[:-1], row)],
        "tangent": [(y, q.dtype), (y[:-1], row)],
        "backward": [(own.shape, own.dtype) for own in (q, k, v)],
    }
    return [_like(avals[0], (*of.batch, *shape), dtype) for shape, dtype in found[of.name]]


def _like(model: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """The type of a result; on a mesh with explicit axes it is not sharded."""
    changes: dict[str, Any] = {"shape": shape, "dtype": dtype, "weak_type": False}
    if not model.sharding.mesh.empty:
        spec = jax.sharding.PartitionSpec(*(None,) * len(shape))
        changes["sharding"] = model.sharding.update(spec=spec)
    return model.update(**changes)


def _lower(ctx: mlir.LoweringRuleContext, *values: Any, of: Pass) -> Sequence[Any]:
    types = of.types(ctx.avals_in)
    call = AttentionCall(
        of.plan,
        *types[:2],
        batch=of.batch,
        sharding=surroundings(ctx),
        platform=private.platform(ctx),
        exported=private.is_exported(ctx),
        devices=private.program_devices(ctx),
    )
    kernel = attention_kernel(call, of.plan.backend)
    return lower_plain(ctx, values, of.traced(getattr(kernel, of.name)), multiple_results=True)


def _in_numpy(*values: jax.Array, of: Pass, **_: Any) -> list[jax.Array]:
    return of.traced(of.otherwise)(*values)


def _jvp(primals: Any, tangents: Any, *, of: Pass, primitive: Primitive, **parameters: Any) -> Any:
    moving = [i for i, own in enumerate(tangents) if not isinstance(own, ad.Zero)]

    def otherwise(*own: jax.Array) -> list[jax.Array]:
        values = list(primals)
        for i, value in zip(moving, own, strict=True):
            values[i] = value
        return _in_numpy(*values, of=of)

    results = primitive.bind(*primals, of=of, **parameters)
    own = [primals[i] for i in moving], [tangents[i] for i in moving]
    return results, jax.jvp(otherwise, *own)[1]


def _batch(
    values: Any, dims: Any, *, of: Pass, primitive: Primitive, **parameters: Any
) -> tuple[Any, list[int]]:
    size = next(v.shape[d] for v, d in zip(values, dims, strict=True) if d is not None)
    linear = len(values) - parameters.get("linear", 0)
    values = [
        (v if i < linear else jnp.broadcast_to(v, (size, *v.shape)))
        if d is None
        else jnp.moveaxis(v, d, 0)
        for i, (v, d) in enumerate(zip(values, dims, strict=True))
    ]
    flags = tuple(d is not None or i >= linear for i, d in enumerate(dims))
    of = dataclasses.replace(of, levels=(*of.levels, (size, flags)))
    results = primitive.bind(*values, of=of, **parameters)
    return results, [0] * len(results)


def _transpose(
    cotangents: Any, *values: Any, of: Pass, backward: Callable[..., Any], linear: int
) -> list[Any]:
    known = len(values) - linear
    if all(isinstance(own, ad.Zero) for own in cotangents):
        return [None] * known + [ad.Zero(own.aval) for own in values[known:]]
    cotangents = [ad.instantiate_zeros(own) for own in cotangents]
    trees = jax.tree.unflatten(of.structure, [True] * len(values))
    structure = jax.tree.structure([*trees[:-1], (True, True)])
    levels = tuple((size, (*flags[:known], True, True)) for size, flags in of.levels)
    own = Pass("backward", of.plan, backward, structure, levels)
    found = kernel_p.bind(*values[:known], *cotangents, of=own)
    return [None] * known + [
        g if ad.is_undefined_primal(v) else None for g, v in zip(found, values[known:], strict=True)
    ]


def _register(primitive: Primitive) -> None:
    primitive.multiple_results = True
    primitive.def_abstract_eval(_abstract)

    @primitive.def_impl
    def _run(*values: jax.Array, **parameters: Any) -> Sequence[jax.Array]:
        with jax.disable_jit(False):
            return jax.jit(lambda *own: primitive.bind(*own, **parameters))(*values)

    ad.primitive_jvps[primitive] = lambda primals, tangents, **parameters: _jvp(
        primals, tangents, primitive=primitive, **parameters
    )
    batching.primitive_batchers[primitive] = lambda values, dims, **parameters: _batch(
        values, dims, primitive=primitive, **parameters
    )


_register(kernel_p)
_register(tangent_p)
ad.primitive_transposes[tangent_p] = _transpose
mlir.register_lowering(kernel_p, _lower)
mlir.register_lowering(tangent_p, mlir.lower_fun(_in_numpy, multiple_results=True))
