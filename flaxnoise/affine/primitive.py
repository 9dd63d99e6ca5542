"""The affine primitive: y = x·(a + b·n) + (c + d·n), with noise n drawn from a key.

Operands by name; all except the key are optional:

    key        uint32[*batch, 4]    words of the key
    start      uint32[*batch, 2]    linear index (low, high) of a shard's first element; a multiple
                                    of four if the row lengths of shard and global array are
    threshold  uint32[*batch, *dims]
    x          *batch, *dims        any floating or complex dtype
    a b c d    *batch, *dims        float32, or float64 for 64-bit x

Each batch dimension of an operand is 1 or the size of the batch, each of its other dimensions 1 or
that of the output. So batching only adds a leading dimension to every operand, and operands are
broadcast without further rules. n has dimensions ``shape``, after the batch dimensions. Absent
terms are not computed. Without x and coefficients, y = n.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive

from flaxnoise.affine import varying
from flaxnoise.affine.devices import asks_devices
from flaxnoise.affine.shard import mesh_axes
from flaxnoise.backends.choice import forced_backend, needs_devices
from flaxnoise.backends.contract import WORDS, known_kind, named, needs_wide_index
from flaxnoise.stream.sizes import broadcast_sizes, is_one, static_sizes

OPERANDS = ("key", "start", "threshold", "x", "a", "b", "c", "d")

affine_p = Primitive("flaxnoise_affine")


def affine(
    operands: dict[str, jax.Array],
    *,
    kind: str,
    shape: tuple[int, ...],
    dtype: jax.typing.DTypeLike,
    global_shape: tuple[int, ...] | None = None,
    backend: str | None = None,
    sharding: jax.sharding.NamedSharding | None = None,
    wide: bool | None = None,
) -> jax.Array:
    """Binds the primitive.

    Args:
        operands: arrays by the names above.
        kind: name of the kind of noise.
        shape: dimensions of n, or of this shard of n, each 1 or the output's.
        dtype: dtype of the output.
        global_shape: dimensions of the global n, if this is the shard that begins at ``start``.
        backend: name of a forced backend; by default that of ``with flaxnoise.backend(…)``.
        sharding: on explicit axes, the sharding of output dimensions that no operand determines.
        wide: whether linear indices may exceed 32 bits. By default true if the global shape has
            more than 2^32 elements, or if there is a start but no global shape.
    """
    shape = static_sizes(shape)
    if global_shape is not None:
        global_shape = static_sizes(global_shape)
    if wide is None:
        wide = needs_wide_index(operands, shape, global_shape)
    backend = backend or forced_backend()
    if needs_devices(backend):
        operands = {**operands, "key": asks_devices(operands["key"])}
    names = tuple(name for name in OPERANDS if name in operands)
    values = varying.unify([operands[name] for name in names])
    return affine_p.bind(
        *values,
        names=names,
        kind=known_kind(kind).name,
        shape=shape,
        dtype=jnp.dtype(dtype),
        global_shape=global_shape,
        backend=backend,
        sharding=sharding,
        wide=wide,
    )


@affine_p.def_impl
def _run(*values: jax.Array, **params: Any) -> jax.Array:
    # Compiled under disable_jit, too, like each of jax's own primitives.
    with jax.disable_jit(False):
        return _compiled(tuple(params.items()))(*values)


@functools.lru_cache(maxsize=1024)
def _compiled(params: tuple[tuple[str, Any], ...]) -> Any:
    return jax.jit(functools.partial(affine_p.bind, **dict(params)))


@affine_p.def_abstract_eval
def _abstract(
    *avals: Any,
    names: tuple[str, ...],
    shape: tuple[int, ...],
    dtype: Any,
    sharding: jax.sharding.NamedSharding | None,
    **_: Any,
):
    by_name = named(names, avals)
    batch_rank = by_name["key"].ndim - 1
    full = [aval for name, aval in by_name.items() if name not in WORDS]
    batch = [aval.shape[:batch_rank] for aval in avals]
    dims = [shape, *(aval.shape[batch_rank:] for aval in full)]
    out_shape = broadcast_sizes(batch) + broadcast_sizes(dims)
    model = by_name.get("x", by_name["key"])
    weak = "x" in by_name and model.weak_type and dtype == model.dtype
    out = {"shape": out_shape, "dtype": dtype, "weak_type": weak}
    shardings = {name: aval.sharding for name, aval in by_name.items()}
    if sharding is not None:
        shardings[""] = sharding.update(
            spec=jax.sharding.PartitionSpec(*(None,) * batch_rank, *sharding.spec)
        )
    shardings = {name: own for name, own in shardings.items() if not own.mesh.empty}
    if shardings:
        out["sharding"] = _sharding(shardings, by_name, out_shape, batch_rank)
    return model.update(**out)


def _sharding(
    shardings: dict[str, Any], operands: dict[str, Any], out_shape: tuple[int, ...], batch_rank: int
) -> jax.sharding.NamedSharding:
    """Shards each output dimension as the first operand that has it: x, else the others in order.

    The empty name stands for the sharding that the caller asks for.
    """
    spec: list[Any] = [None] * len(out_shape)
    owners: dict[str, tuple[str, int]] = {}  # mesh axis → operand and dimension that it shards
    for name in sorted(shardings, key=lambda name: name != "x"):
        own = shardings[name].spec
        if own.unreduced or own.reduced:
            raise NotImplementedError(
                f"flaxnoise: {name} must be neither unreduced nor reduced, got {own}. "
                "Reshard it first."
            )
        sizes = operands[name].shape if name in operands else out_shape
        for axis in range(batch_rank if name in WORDS else len(spec)):
            if spec[axis] is None and not is_one(sizes[axis]):
                spec[axis] = own[axis]
                for mesh_axis in mesh_axes(own[axis]):
                    first, dim = owners.setdefault(mesh_axis, (name, axis))
                    if dim != axis:
                        raise ValueError(
                            f"flaxnoise: a mesh axis must shard one dimension, got {mesh_axis!r} "
                            f"for dimension {dim} of {_title(first)} and {axis} of {_title(name)}. "
                            "Reshard one of them."
                        )
    model = next(iter(shardings.values()))
    return model.update(spec=jax.sharding.PartitionSpec(*spec))


def _title(operand: str) -> str:
    """The name of an operand in error messages."""
    titles = {"": "the output", "a": "the factor", "b": "the factor of the noise"}
    titles |= {"c": "the offset", "d": "the scale of the added noise"}
    return titles.get(operand, operand)
