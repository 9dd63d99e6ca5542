"""What acts on the gradient alone: all of them give x itself forward."""

from typing import Any

import jax
import jax.numpy as jnp

from flaxnoise import arguments
from flaxnoise.functional.formula import finite, precision


def stop_gradient(x: Any, where: Any = None) -> Any:
    """Gives x itself forward and no gradient backward: y = x, dy/dx = 0.

    Unlike ``dropout`` at rate 1, whose gradient is zero too, but whose output is zeros:
    stop_gradient freezes what comes before it, dropout at rate 1 removes it.

    Args:
        x: an array or a tree of arrays.
        where: what to stop; by default everything. A function of a leaf's path, such as
            "encoder/kernel", that tells whether to stop it; or a bool, or an array of bools that
            broadcasts to the leaves, or a tree of such with x's structure: elements where it is
            true.

    Returns:
        The same values.

    Raises:
        TypeError: where is not made of bools.
        ValueError: where has another structure than x, or does not broadcast.

    Example:
        >>> y = flaxnoise.stop_gradient(x)
        >>> y = flaxnoise.stop_gradient(x, where=x > 0)
        >>> parameters = {"encoder": {"kernel": x}, "head": {"kernel": x}}
        >>> frozen = flaxnoise.stop_gradient(parameters, lambda path: path.startswith("encoder/"))
    """
    if where is None:
        return jax.lax.stop_gradient(x)
    if callable(where):
        return jax.tree_util.tree_map_with_path(
            lambda path, leaf: _stopped(leaf, bool(where(_written(path)))), x
        )
    if jax.tree.structure(where) == jax.tree.structure(0):
        return jax.tree.map(lambda leaf: _stopped(leaf, where), x)
    if jax.tree.structure(where) != jax.tree.structure(x):
        raise ValueError(
            "stop_gradient: where must be a function, an array or a tree of x's structure, "
            f"got {jax.tree.structure(where)}."
        )
    return jax.tree.map(_stopped, x, where)


def gradient_scale(x: Any, scale: jax.typing.ArrayLike) -> Any:
    """Gives x itself forward and scales the gradient: y = x, dx = scale·dy.

    Forward mode scales tangents likewise. Scale 0 gives a zero gradient, even where that of y is
    inf or NaN.

    Args:
        x: a floating or complex array, or a tree of them.
        scale: a finite number, negative ones included; may be traced. Has no gradient.

    Returns:
        The same values.

    Raises:
        TypeError: x is not floating or complex, scale is not real.
        ValueError: scale is not finite or no scalar.

    Example:
        >>> float(jax.grad(lambda x: flaxnoise.gradient_scale(x, 0.5) ** 2)(3.0))
        3.0
    """
    return _scaled("gradient_scale", x, scale, 1)


def gradient_reversal(x: Any, scale: jax.typing.ArrayLike = 1.0) -> Any:
    """Gives x itself forward and reverses the gradient: y = x, dx = −scale·dy.

    In front of a domain classifier it makes the features before it worse for the domain, while
    the classifier gets better. Ganin and Lempitsky, "Unsupervised domain adaptation by
    backpropagation", ICML 2015.

    Args:
        x: a floating or complex array, or a tree of them.
        scale: a finite number; may be traced. Has no gradient.

    Returns:
        The same values.

    Raises:
        TypeError: x is not floating or complex, scale is not real.
        ValueError: scale is not finite or no scalar.

    Example:
        >>> float(jax.grad(lambda x: flaxnoise.gradient_reversal(x) ** 2)(3.0))
        -6.0
    """
    return _scaled("gradient_reversal", x, scale, -1)


def _scaled(owner: str, x: Any, scale: jax.typing.ArrayLike, sign: int) -> Any:
    arguments.finite(owner, "scale", scale, ())
    leaves, structure = jax.tree.flatten(x)
    leaves = [arguments.inexact(owner, leaf, complex_too=True) for leaf in leaves]
    # As a number of float32 (float64 with x64), whatever dtype it came in.
    scale = finite(scale, jnp.result_type(float)) * sign
    scale = jnp.where(scale == 0, jnp.zeros_like(scale), scale)  # −0 would make zeros negative
    return structure.unflatten([_with_scaled_gradient(leaf, scale) for leaf in leaves])


@jax.custom_jvp
def _with_scaled_gradient(x: jax.Array, scale: jax.Array) -> jax.Array:
    return x


@_with_scaled_gradient.defjvp
def _scale_tangent(primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    (x, scale), (dx, _) = primals, tangents
    scale = jax.lax.stop_gradient(scale).astype(precision(x))
    wide = dx if jnp.issubdtype(dx.dtype, jnp.complexfloating) else dx.astype(scale.dtype)
    part = (scale.astype(wide.dtype) * wide).astype(dx.dtype)
    dy = jnp.where(scale == 0, jnp.zeros((), dx.dtype), part)
    return x, dy


def _stopped(x: Any, where: Any) -> Any:
    where = jnp.asarray(where)
    if where.dtype != jnp.bool_:
        raise TypeError(f"stop_gradient: where must be made of bools, got {where.dtype}.")
    arguments.broadcastable("stop_gradient", "where", where.shape, jnp.shape(x))
    return jnp.where(where, jax.lax.stop_gradient(x), x)


def _written(path: tuple[Any, ...]) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")
