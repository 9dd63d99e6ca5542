"""The one primitive: y = x·(a + b·n) + (c + d·n), with n drawn from the key inside.

Operands, by name; all but the key may be absent:

    key        uint32[*batch, 4]    words of the key
    start      uint32[*batch, 2]    linear index (low, high) of the first element, of a shard
    threshold  uint32[*batch, *dims]
    x          *batch, *dims        any floating or complex dtype
    a b c d    *batch, *dims        float32, or float64 for 64-bit x

Each batch dimension is 1 or the batch's size, each of dims is 1 or the output's size: so batching
adds a dimension in front of every operand, and broadcasting needs nothing else. n itself has
dimensions ``shape`` (after the batch dimensions of key and threshold); an absent term costs
nothing. Without x and coefficients y = n.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive

from flaxnoise.affine import varying
from flaxnoise.backends.choice import forced_backend
from flaxnoise.stream.noise import Kind

OPERANDS = ("key", "start", "threshold", "x", "a", "b", "c", "d")

affine_p = Primitive("flaxnoise_affine")


def affine(
    operands: dict[str, jax.Array],
    *,
    kind: Kind,
    shape: tuple[int, ...],
    dtype: jax.typing.DTypeLike,
    global_shape: tuple[int, ...] | None = None,
    backend: str | None = None,
) -> jax.Array:
    """Binds the primitive.

    Args:
        operands: arrays by the names above.
        kind: which noise n is.
        shape: dimensions of n, each 1 or the output's; of this shard, if it is one.
        dtype: of the output.
        global_shape: dimensions of the whole of n, where ``start`` says which part this is.
        backend: a forced backend; by default the one of ``with flaxnoise.backend(…)``.
    """
    names = tuple(name for name in OPERANDS if name in operands)
    values = varying.unify([operands[name] for name in names])
    return affine_p.bind(
        *values,
        names=names,
        kind=kind,
        shape=tuple(shape),
        dtype=jnp.dtype(dtype),
        global_shape=global_shape,
        backend=backend or forced_backend(),
    )


@affine_p.def_impl
def _run(*values: jax.Array, **params: Any) -> jax.Array:
    # Under disable_jit the primitive still runs compiled, as each of jax's own does.
    with jax.disable_jit(False):
        return _compiled(tuple(params.items()))(*values)


@functools.lru_cache(maxsize=1024)
def _compiled(params: tuple[tuple[str, Any], ...]) -> Any:
    return jax.jit(functools.partial(affine_p.bind, **dict(params)))


@affine_p.def_abstract_eval
def _abstract(*avals: Any, names: tuple[str, ...], shape: tuple[int, ...], dtype: Any, **_: Any):
    by_name = dict(zip(names, avals, strict=True))
    batch_rank = by_name["key"].ndim - 1
    full = [aval for name, aval in by_name.items() if name not in ("key", "start")]
    batch = [aval.shape[:batch_rank] for aval in avals]
    dims = [shape, *(aval.shape[batch_rank:] for aval in full)]
    out_shape = _broadcast(batch) + _broadcast(dims)
    model = by_name.get("x", by_name["key"])
    out = {"shape": out_shape, "dtype": dtype, "weak_type": False}
    on_mesh = [(name, aval) for name, aval in by_name.items() if not aval.sharding.mesh.empty]
    if on_mesh:
        out["sharding"] = _sharding(on_mesh, out_shape, batch_rank)
    return model.update(**out)


def _broadcast(shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    """One shape out of several of the same rank, each dimension 1 or the result's."""
    result = list(shapes[0])
    for shape in shapes[1:]:
        for axis, size in enumerate(shape):
            if _is_one(result[axis]):
                result[axis] = size
            elif not (_is_one(size) or size == result[axis]):
                raise ValueError(f"flaxnoise: dimensions {shapes} do not fit each other.")
    return tuple(result)


def _is_one(size: Any) -> bool:
    """A symbolic dimension is never taken for 1."""
    return isinstance(size, int) and size == 1


def _sharding(
    operands: list[tuple[str, Any]], out_shape: tuple[int, ...], batch_rank: int
) -> jax.sharding.NamedSharding:
    """Each dimension is sharded as in the first operand that has it, x before the others."""
    spec: list[Any] = [None] * len(out_shape)
    for name, aval in sorted(operands, key=lambda operand: operand[0] != "x"):
        own = aval.sharding.spec
        if own.unreduced or own.reduced:
            raise NotImplementedError(
                f"flaxnoise: {name} must be neither unreduced nor reduced, got {own}. "
                "Reshard it first."
            )
        for axis in range(batch_rank if name in ("key", "start") else len(spec)):
            if spec[axis] is None and not _is_one(aval.shape[axis]):
                spec[axis] = own[axis]
    return operands[0][1].sharding.update(spec=jax.sharding.PartitionSpec(*spec))
