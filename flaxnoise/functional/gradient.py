"""Functions that change only the gradient: y = x forward, a different gradient backward.

``gradient_noise`` and ``activity_regularization`` add to the cotangent, which no linear map of
tangents corresponds to: they support reverse mode only.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flaxnoise import arguments
from flaxnoise.affine import Location, apply, here, weakly_typed_as
from flaxnoise.functional.certain import same_for_every_key
from flaxnoise.functional.formula import finite, precision


def stop_gradient(x: Any, where: Any = None) -> Any:
    """Returns x and stops its gradient: y = x, dy/dx = 0.

    Freezes what computes x. ``dropout`` at rate 1 has a zero gradient as well, but also outputs
    zeros.

    Args:
        x: an array or a tree of arrays: dicts, lists, dataclasses, variables of linen, an nnx.State
            or nnx.Module.
        where: where to stop the gradient; by default everywhere. A function from a leaf's path to a
            bool; or a bool, an array of bools that broadcasts to each leaf, or a tree of these with
            x's structure. A path consists of the keys, attributes and indices that lead to the
            array, such as "encoder/layers/0/kernel", without those inside nnx.Variable or linen's
            partitioning boxes.

    Returns:
        The same values.

    Raises:
        TypeError: x is not made of arrays, where is not made of bools.
        ValueError: where has a different structure than x, does not broadcast, or is a function
            that is false for every path.

    Example:
        >>> y = flaxnoise.stop_gradient(x)
        >>> y = flaxnoise.stop_gradient(x, where=x > 0)
        >>> parameters = {"encoder": {"kernel": x}, "head": {"kernel": x}}
        >>> frozen = flaxnoise.stop_gradient(parameters, lambda path: path.startswith("encoder/"))
    """
    if where is None:
        return jax.tree.map(_stopped, x)
    if callable(where) and not hasattr(where, "dtype"):
        return _stopped_by_path(x, where)
    if jax.tree.structure(where) == jax.tree.structure(0):
        return jax.tree.map(lambda leaf: _stopped_where(leaf, where), x)
    if jax.tree.structure(where) != jax.tree.structure(x):
        raise ValueError(
            "stop_gradient: where must be a function, an array or a tree of x's structure, "
            f"got {jax.tree.structure(where)}."
        )
    return jax.tree.map(_stopped_where, x, where)


def gradient_scale(x: Any, scale: jax.typing.ArrayLike) -> Any:
    """Returns x and scales its gradient: y = x, dx = scale·dy.

    Forward mode scales tangents in the same way. Scale 0 gives a zero gradient, even where dy is
    inf or NaN.

    Args:
        x: a floating or complex array, or a tree of them.
        scale: a finite number, negative ones included; may be traced. Has no gradient.

    Returns:
        The same values.

    Raises:
        TypeError: x is not floating or complex, scale is not real.
        ValueError: scale is not finite or not a scalar.

    Example:
        >>> float(jax.grad(lambda x: flaxnoise.gradient_scale(x, 0.5) ** 2)(3.0))
        3.0
    """
    return _scaled("gradient_scale", x, scale, 1)


def gradient_reversal(x: Any, scale: jax.typing.ArrayLike = 1.0) -> Any:
    """Returns x and reverses its gradient: y = x, dx = −scale·dy.

    Placed in front of a domain classifier, it trains the features to confuse the classifier while
    the classifier learns to tell the domains apart. Ganin and Lempitsky, "Unsupervised domain
    adaptation by backpropagation", ICML 2015.

    Args:
        x: a floating or complex array, or a tree of them.
        scale: a finite number; may be traced. Has no gradient.

    Returns:
        The same values.

    Raises:
        TypeError: x is not floating or complex, scale is not real.
        ValueError: scale is not finite or not a scalar.

    Example:
        >>> float(jax.grad(lambda x: flaxnoise.gradient_reversal(x) ** 2)(3.0))
        -6.0
    """
    return _scaled("gradient_reversal", x, scale, -1)


@same_for_every_key(stddev=(0,))
def gradient_noise(key: jax.Array, x: jax.Array, stddev: jax.typing.ArrayLike) -> jax.Array:
    """Returns x and adds normal noise to its gradient: y = x, dx = dy + stddev·n.

    n ~ N(0, 1) is the noise of ``gaussian_noise`` with the same key. This adds noise at one point
    of a model; to add noise to the gradients of all parameters, use ``flaxnoise.optax.add_noise``.

    Neelakantan et al., "Adding gradient noise improves learning for very deep networks", 2015.

    Args:
        key: a jax.random key, typed or raw; under vmap, a batch of them.
        x: floating array of any shape.
        stddev: standard deviation in units of the gradient; otherwise as in ``gaussian_noise``, but
            without a gradient.

    Returns:
        x.

    Raises:
        TypeError: key is not a key, x is not floating, stddev is not real.
        ValueError: stddev negative, not finite or not broadcastable to x, a batch of keys.

    Example:
        >>> dx = jax.grad(lambda x: flaxnoise.gradient_noise(key, x, 0.1).sum())(x)
        >>> n = flaxnoise.random.normal(key, x.shape)
        >>> bool(jnp.allclose(dx, 1 + 0.1 * n))
        True
    """
    x = arguments.inexact("gradient_noise", x, complex_too=False)
    stddev = arguments.nonnegative("gradient_noise", "stddev", stddev, x.shape, x.dtype)
    words = arguments.key_words(arguments.single_key("gradient_noise", key))
    location = here(x.shape)
    drawn = (words, location.start)
    return _noisy(x, drawn, finite(stddev, precision(x)), location._replace(start=None))


def activity_regularization(
    x: jax.Array, l1: jax.typing.ArrayLike = 0.0, l2: jax.typing.ArrayLike = 0.0
) -> jax.Array:
    """Returns x and adds the gradient of a penalty: y = x, dx = dy + p′(x).

    p(x) = l1·|x| + l2·x². The gradients are those of loss + Σ p(x), without adding the penalty to
    the loss explicitly. A factor applied to the loss, as in loss scaling, does not scale the
    penalty. For the behaviour of Keras' ActivityRegularization, which divides by the batch size,
    divide l1 and l2 by it.

    Args:
        x: floating array of any shape.
        l1: ≥ 0, a number; may be traced. Has no gradient.
        l2: as ``l1``.

    Returns:
        x.

    Raises:
        TypeError: x is not floating, l1 or l2 is not real.
        ValueError: l1 or l2 is negative, not finite or not a scalar.

    Example:
        >>> float(jax.grad(lambda x: flaxnoise.activity_regularization(x, l1=0.5, l2=0.25))(-2.0))
        -0.5
    """
    owner = "activity_regularization"
    x = arguments.inexact(owner, x, complex_too=False)
    l1 = arguments.nonnegative(owner, "l1", l1, ())
    l2 = arguments.nonnegative(owner, "l2", l2, ())
    return _penalised(x, finite(l1, precision(x)), finite(l2, precision(x)))


def _scaled(owner: str, x: Any, scale: jax.typing.ArrayLike, sign: int) -> Any:
    scale = arguments.finite(owner, "scale", scale, ())
    leaves, structure = jax.tree.flatten(x)
    leaves = [arguments.inexact(owner, leaf, complex_too=True) for leaf in leaves]
    # float32 (float64 with x64) regardless of the dtype given: x may have a wider one.
    scale = finite(scale, jnp.result_type(float)) * sign
    scale = jnp.where(scale == 0, jnp.zeros_like(scale), scale)  # −0 would give −0 gradients
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


def _stopped_by_path(x: Any, where: Callable[[str], Any]) -> Any:
    leaves, structure = jax.tree_util.tree_flatten_with_path(x, is_leaf=_is_box)
    paths = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves]
    stops = [bool(where(path)) for path in paths]
    if paths and not any(stops):
        raise ValueError(
            "stop_gradient: where must be true of a path, got false for each of "
            f"{arguments.short(paths)}."
        )
    return structure.unflatten(
        [
            jax.tree.map(_stopped, leaf) if stop else leaf
            for (_, leaf), stop in zip(leaves, stops, strict=True)
        ]
    )


def _is_box(node: Any) -> bool:
    """Whether a tree node is a box of Flax around one array, which paths leave out."""
    return any(
        base.__module__.partition(".")[0] == "flax"
        and base.__name__ in ("Variable", "VariableState", "AxisMetadata")
        for base in type(node).__mro__
    )


def _stopped(x: Any) -> Any:
    try:
        return jax.lax.stop_gradient(x)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(
            f"stop_gradient: x must be an array or a tree of them, got {arguments.short(x)}."
        ) from None


def _stopped_where(x: Any, where: Any) -> Any:
    mask = where if isinstance(where, jax.Array) else arguments.as_numpy(where)
    if mask is None or mask.dtype != jnp.bool_:
        raise TypeError(
            f"stop_gradient: where must be made of bools, got {arguments.short(where)}."
        )
    stopped = _stopped(x)
    arguments.broadcastable("stop_gradient", "where", mask.shape, jnp.shape(x))
    return jnp.where(mask, stopped, x)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _noisy(x: jax.Array, drawn: Any, stddev: jax.Array, location: Location) -> jax.Array:
    return x


def _noisy_forward(
    x: jax.Array, drawn: Any, stddev: jax.Array, location: Location
) -> tuple[jax.Array, Any]:
    return x, (drawn, stddev)


def _noisy_backward(location: Location, residuals: Any, dy: jax.Array) -> tuple[Any, ...]:
    (words, start), stddev = residuals
    dx = apply("normal", words, dy, location=location._replace(start=start), a=1.0, d=stddev)
    none = jax.tree.map(lambda each: np.zeros(each.shape, jax.dtypes.float0), (words, start))
    return dx, none, jnp.zeros_like(stddev)


@jax.custom_vjp
def _penalised(x: jax.Array, l1: jax.Array, l2: jax.Array) -> jax.Array:
    return x


def _penalised_forward(x: jax.Array, l1: jax.Array, l2: jax.Array) -> tuple[jax.Array, Any]:
    return x, (x, l1, l2)


def _penalised_backward(residuals: Any, dy: jax.Array) -> tuple[jax.Array, ...]:
    x, l1, l2 = residuals
    wide = x.astype(precision(x))
    dx = (dy.astype(wide.dtype) + (l1 * jnp.sign(wide) + 2 * l2 * wide)).astype(x.dtype)
    dx = weakly_typed_as(dx, x)
    return dx, jnp.zeros_like(l1), jnp.zeros_like(l2)


_noisy.defvjp(_noisy_forward, _noisy_backward)
_penalised.defvjp(_penalised_forward, _penalised_backward)
