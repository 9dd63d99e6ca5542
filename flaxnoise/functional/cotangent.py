"""What is added to the gradient: x itself forward, and more than the chain rule backward.

An addition is no linear map of a tangent, so these have a reverse mode alone.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flaxnoise import arguments
from flaxnoise.functional.formula import Place, apply_at, finite, placed, precision


def gradient_noise(key: jax.Array, x: jax.Array, stddev: jax.typing.ArrayLike) -> jax.Array:
    """Gives x itself forward and adds normal noise to its gradient: y = x, dx = dy + stddev·n.

    n ~ N(0, 1) is that of ``gaussian_noise`` with the same key. For noise at one place inside a
    model. For noise on the gradients of all parameters use optax.add_noise, which needs no change
    of the model, keeps its own key, and has a schedule.

    Neelakantan et al., "Adding gradient noise improves learning for very deep networks", 2015.

    Args:
        key: a jax.random key, typed or raw; under vmap, a batch of them.
        x: floating array of any shape.
        stddev: in units of the gradient, as in ``gaussian_noise``; has no gradient.

    Returns:
        x.

    Raises:
        TypeError: key is no key, x is not floating, stddev is not real.
        ValueError: stddev negative, not finite or not broadcastable to x, a batch of keys.

    Example:
        >>> dx = jax.grad(lambda x: flaxnoise.gradient_noise(key, x, 0.1).sum())(x)
        >>> n = flaxnoise.random.normal(key, x.shape)
        >>> bool(jnp.allclose(dx, 1 + 0.1 * n))
        True
    """
    x = arguments.inexact("gradient_noise", x, complex_too=False)
    arguments.nonnegative("gradient_noise", "stddev", stddev, x.shape)
    words, place = placed(arguments.single_key("gradient_noise", key), x, ())
    return _noisy(x, words, finite(stddev, precision(x)), place)


def activity_regularization(
    x: jax.Array, l1: jax.typing.ArrayLike = 0.0, l2: jax.typing.ArrayLike = 0.0
) -> jax.Array:
    """Gives x itself forward and a penalty's gradient on top backward: y = x, dx = dy + p′(x).

    p(x) = l1·|x| + l2·x²; the gradients are those of loss + Σ p(x), whatever the loss, without
    carrying the penalty to it. (A factor on the whole loss, as in loss scaling, does not reach the
    penalty.) Keras' ActivityRegularization, which divides by the size of the batch: so divide l1
    and l2.

    Args:
        x: floating array of any shape.
        l1: ≥ 0, a number; may be traced. Has no gradient.
        l2: likewise.

    Returns:
        x.

    Raises:
        TypeError: x is not floating, l1 or l2 is not real.
        ValueError: l1 or l2 is negative, not finite or no scalar.

    Example:
        >>> float(jax.grad(lambda x: flaxnoise.activity_regularization(x, l1=0.5, l2=0.25))(-2.0))
        -0.5
    """
    owner = "activity_regularization"
    x = arguments.inexact(owner, x, complex_too=False)
    arguments.nonnegative(owner, "l1", l1, ())
    arguments.nonnegative(owner, "l2", l2, ())
    return _penalised(x, finite(l1, precision(x)), finite(l2, precision(x)))


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _noisy(x: jax.Array, words: dict[str, jax.Array], stddev: jax.Array, place: Place) -> jax.Array:
    return x


def _noisy_forward(
    x: jax.Array, words: dict[str, jax.Array], stddev: jax.Array, place: Place
) -> tuple[jax.Array, Any]:
    return x, (words, stddev)


def _noisy_backward(place: Place, residuals: Any, dy: jax.Array) -> tuple[Any, ...]:
    words, stddev = residuals
    dx = apply_at("normal", words, place, dy, (), a=1.0, d=stddev)
    none = jax.tree.map(lambda each: np.zeros(each.shape, jax.dtypes.float0), words)
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
    return dx, jnp.zeros_like(l1), jnp.zeros_like(l2)


_noisy.defvjp(_noisy_forward, _noisy_backward)
_penalised.defvjp(_penalised_forward, _penalised_backward)
