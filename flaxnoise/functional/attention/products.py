"""Products of the matrices of a tile, each the transpose of the other two.

    x·y   [*batch, r, D], [*batch, D, c] → [*batch, r, c]
    x·yᵀ  [*batch, r, c], [*batch, D, c] → [*batch, r, D]
    xᵀ·y  [*batch, r, D], [*batch, r, c] → [*batch, D, c]

A primitive of their own, since the transpose of ``lax.dot_general`` takes the cotangent as its
first operand. With more than one batch dimension, XLA on CPU then transposes the weights: the
gradient of attention takes 1.2 times as long. Merging the batch dimensions would also avoid this,
but would gather arrays whose batch and heads are both sharded.
"""

import operator
from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from flaxnoise.affine import varying

# Form → the contracted dimension of each matrix.
_CONTRACTED = {"x·y": (1, 0), "x·yᵀ": (1, 1), "xᵀ·y": (0, 0)}

product_p = Primitive("flaxnoise_product")


def product(form: str, x: jax.Array, y: jax.Array, dtype: jax.typing.DTypeLike) -> jax.Array:
    """The product of this form (see the module), computed and returned in dtype."""
    x, y = varying.unify([x, y])
    precision = jax.config.jax_default_matmul_precision  # pyright: ignore[reportAttributeAccessIssue]
    return product_p.bind(x, y, form=form, dtype=jnp.dtype(dtype), precision=precision)


@product_p.def_impl
def _run(x: jax.Array, y: jax.Array, *, form: str, dtype: Any, precision: Any) -> jax.Array:
    batch = tuple(range(x.ndim - 2))
    ours, theirs = (len(batch) + axis for axis in _CONTRACTED[form])
    dims = (((ours,), (theirs,)), (batch, batch))
    return lax.dot_general(x, y, dims, precision=precision, preferred_element_type=dtype)


@product_p.def_abstract_eval
def _abstract(x: Any, y: Any, *, form: str, dtype: Any, precision: Any) -> Any:
    del precision
    ours, theirs = _CONTRACTED[form]
    kept = x.shape[-2:][1 - ours], y.shape[-2:][1 - theirs]
    return x.update(shape=(*x.shape[:-2], *kept), dtype=dtype, weak_type=False)


def _jvp(primals: Any, tangents: Any, *, form: str, dtype: Any, **_: Any) -> tuple[Any, Any]:
    x, y = primals
    dx, dy = tangents
    z = product(form, x, y, dtype)
    dz = [] if isinstance(dx, ad.Zero) else [product(form, dx, y, dtype)]
    dz += [] if isinstance(dy, ad.Zero) else [product(form, x, dy, dtype)]
    return z, reduce(operator.add, dz) if dz else ad.Zero(jax.typeof(z).to_tangent_aval())


def _transpose(dz: Any, x: Any, y: Any, *, form: str, **_: Any) -> tuple[Any, Any]:
    if ad.is_undefined_primal(x):
        dtype = x.aval.dtype
        if isinstance(dz, ad.Zero):
            return ad.Zero(x.aval), None
        if form == "x·y":
            return product("x·yᵀ", dz, y, dtype), None
        if form == "x·yᵀ":
            return product("x·y", dz, y, dtype), None
        return product("x·yᵀ", y, dz, dtype), None
    dtype = y.aval.dtype
    if isinstance(dz, ad.Zero):
        return None, ad.Zero(y.aval)
    if form == "x·y":
        return None, product("xᵀ·y", x, dz, dtype)
    if form == "x·yᵀ":
        return None, product("xᵀ·y", dz, x, dtype)
    return None, product("x·y", x, dz, dtype)


def _batch(values: Any, dims: Any, **params: Any) -> tuple[Any, int]:
    x, y = values
    if None in dims or not jax.typeof(x).sharding.mesh.empty:
        # Neither repeats an operand for each example, nor derives a sharding.
        return jax.vmap(lambda x, y: _run(x, y, **params), dims)(x, y), 0
    x, y = (jnp.moveaxis(value, dim, 0) for value, dim in zip(values, dims, strict=True))
    return product_p.bind(x, y, **params), 0


ad.primitive_jvps[product_p] = _jvp
ad.primitive_transposes[product_p] = _transpose
batching.primitive_batchers[product_p] = _batch
mlir.register_lowering(product_p, mlir.lower_fun(_run, multiple_results=False))
