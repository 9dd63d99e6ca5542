"""JVP and transpose rules.

The formula is linear in x and in (a, b, c, d), so each derivative is the primitive with the same n.
"""

import operator
from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp
from jax.interpreters import ad

from flaxnoise.affine.primitive import affine, affine_p
from flaxnoise.backends.contract import COEFFICIENTS, named
from flaxnoise.stream.sizes import is_one


def _jvp(primals: Any, tangents: Any, *, names: tuple[str, ...], **params: Any) -> tuple[Any, Any]:
    operands = named(names, primals)
    y = affine(operands, **params)
    params["sharding"] = _trailing(y, operands["key"].ndim - 1)
    moving = {
        name: tangent
        for name, tangent in named(names, tangents).items()
        if name in ("x", *COEFFICIENTS) and not isinstance(tangent, ad.Zero)
    }
    dys = []
    if "x" in moving:
        dys.append(_times_factor(moving["x"], operands, params))
    slopes = _without(moving, "x")
    if slopes:
        dys.append(affine(_needed({**_without(operands, *COEFFICIENTS), **slopes}), **params))
    if not dys:
        return y, ad.Zero(jax.typeof(y).to_tangent_aval())
    return y, reduce(operator.add, [jnp.broadcast_to(dy, y.shape) for dy in dys])


def _transpose(dy: Any, *values: Any, names: tuple[str, ...], **params: Any) -> list[Any]:
    operands = named(names, values)
    linear = {name: v.aval for name, v in operands.items() if ad.is_undefined_primal(v)}
    if isinstance(dy, ad.Zero):
        return [ad.Zero(linear[name]) if name in linear else None for name in names]
    known = _without(operands, *linear)
    # Without the barrier XLA may find that both passes draw the same noise, and store it between
    # them. Two words are enough; the others are often constants, and stay so.
    key = known["key"]
    used = jax.lax.optimization_barrier(key[..., :2])
    known["key"] = jnp.concatenate([used, key[..., 2:]], axis=-1)
    if "x" in linear:
        found = {"x": _times_factor(dy, known, {**params, "dtype": linear["x"].dtype})}
    else:
        found = {name: _slope(name, known, dy, aval, params) for name, aval in linear.items()}
    return [_sum_to(found[name], linear[name]) if name in linear else None for name in names]


def _times_factor(v: jax.Array, operands: dict[str, Any], params: Any) -> jax.Array:
    """v·(a + b·n), for a tangent of x or a cotangent of y."""
    if "b" in operands:
        return affine({**_without(operands, "c", "d"), "x": v}, **params)
    a = operands["a"]  # without noise XLA fuses the product with its neighbours
    wide = _wide(v, a.dtype)
    return (wide * a.astype(wide.dtype)).astype(params["dtype"])


def _slope(name: str, known: dict[str, Any], dy: jax.Array, aval: Any, params: Any) -> jax.Array:
    """The cotangent of one coefficient, before the sum over broadcast dimensions."""
    if name in "ab":
        dy = _wide(dy, aval.dtype) * _wide(known["x"], aval.dtype)
    dy = jnp.real(dy).astype(aval.dtype)
    if name in "ac":
        return dy
    one = jnp.ones((1,) * aval.ndim, aval.dtype)
    times_noise = {**_without(known, *COEFFICIENTS), "x": dy, "b": one}
    return affine(times_noise, **{**params, "dtype": aval.dtype})


def _wide(v: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """v in the dtype of a coefficient; explicit, as not all dtypes promote implicitly."""
    return v if jnp.issubdtype(v.dtype, jnp.complexfloating) else v.astype(dtype)


def _trailing(y: jax.Array, batch_rank: int) -> Any:
    """The sharding of y without batch dimensions, or None if y's type has none."""
    sharding = jax.typeof(y).sharding
    if sharding.mesh.empty:
        return None
    return sharding.update(spec=jax.sharding.PartitionSpec(*sharding.spec[batch_rank:]))


def _needed(operands: dict[str, Any]) -> dict[str, Any]:
    """The operands without x, if neither a nor b multiplies it."""
    return operands if "a" in operands or "b" in operands else _without(operands, "x")


def _without(operands: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in operands.items() if name not in names}


def _sum_to(value: jax.Array, aval: Any) -> jax.Array:
    """Sums over the dimensions along which an operand of type aval was broadcast."""
    axes = tuple(
        axis for axis, size in enumerate(aval.shape) if is_one(size) and value.shape[axis] != 1
    )
    total = jnp.sum(value, axis=axes, keepdims=True, dtype=value.dtype) if axes else value
    # On a mesh with explicit axes an operand may also be replicated where y is sharded.
    same = jax.typeof(total).sharding == aval.sharding or aval.sharding.mesh.empty
    return total if same else jax.sharding.reshard(total, aval.sharding)


ad.primitive_jvps[affine_p] = _jvp
ad.primitive_transposes[affine_p] = _transpose
