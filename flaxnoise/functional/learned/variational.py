"""Variational dropout: multiplicative normal noise with learned variance; its KL divergence."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from flaxnoise import arguments
from flaxnoise.affine import FLAT
from flaxnoise.functional.formula import apply, precision

# Constants k₁, k₂, k₃ of Molchanov et al. 2017, equation 14.
K1, K2, K3 = 0.63576, 1.87320, 1.48695
LARGEST = 32.0  # bound of |log α|


def variational_dropout(
    key: jax.Array,
    x: jax.Array,
    log_alpha: jax.typing.ArrayLike,
    *,
    broadcast_dims: int | Sequence[int] = (),
) -> jax.Array:
    """Multiplies by normal noise of learned variance α: y = x·(1 + √α·n), n ~ N(0, 1).

    α corresponds to a dropout rate of α/(1 + α). Train it with ``variational_dropout_kl`` in the
    loss.

    Kingma, Salimans, Welling, "Variational dropout and the local reparameterization trick", NeurIPS
    2015; Molchanov, Ashukha, Vetrov, "Variational dropout sparsifies deep neural networks", ICML
    2017.

    Args:
        key: a jax.random key, typed or raw; under vmap, a batch of them.
        x: floating or complex array of any shape.
        log_alpha: logarithm of α; a number, or an array that broadcasts to x. May be traced or
            learned, and has a gradient. Values beyond ±32 count as ±32, but −inf means α = 0, which
            gives x. A value that is traced or on an accelerator is not checked: NaN counts as −inf.
        broadcast_dims: dimensions along which the noise is shared.

    Returns:
        An array of x's shape and dtype.

    Raises:
        TypeError: key is not a key, x is not floating or complex, log_alpha is not real,
            broadcast_dims are not integers.
        ValueError: log_alpha is NaN or not broadcastable to x, a batch of keys, broadcast_dims out
            of range or repeated.

    Example:
        >>> log_alpha = jnp.full(129, -3.0)
        >>> y = flaxnoise.variational_dropout(key, x, log_alpha)
    """
    owner = "variational_dropout"
    x = arguments.inexact(owner, x, complex_too=True)
    log_alpha = arguments.real(owner, "log_alpha", log_alpha, x.shape)
    dims = arguments.dimensions(owner, broadcast_dims, x.ndim)
    return _variational_dropout(arguments.single_key(owner, key), x, log_alpha, dims)


def variational_dropout_kl(log_alpha: jax.typing.ArrayLike) -> jax.Array:
    """Approximates the elementwise KL divergence to the log-uniform prior.

    KL ≈ k₁ − k₁·sigmoid(k₂ + k₃·log α) + ½·log(1 + 1/α), which goes to 0 as α goes to infinity. Add
    Σ KL / N to the mean loss over a data set of N examples.

    Molchanov, Ashukha, Vetrov, "Variational dropout sparsifies deep neural networks", ICML 2017,
    equation 14.

    Args:
        log_alpha: logarithm of α; an array of any shape. May be traced; then it is not checked, and
            NaN counts as the largest value, whose divergence is 0.

    Returns:
        An array of the same shape, of float32 or wider.

    Raises:
        TypeError: log_alpha is not real.
        ValueError: log_alpha is NaN.

    Example:
        >>> penalty = flaxnoise.variational_dropout_kl(jnp.full(129, -3.0)).sum()
    """
    log_alpha = jnp.asarray(arguments.real("variational_dropout_kl", "log_alpha", log_alpha, None))
    log_alpha = log_alpha.astype(jnp.promote_types(log_alpha.dtype, jnp.float32))
    log_alpha = jnp.where(jnp.isnan(log_alpha), LARGEST, log_alpha)
    return K1 * jax.nn.sigmoid(-K2 - K3 * log_alpha) + 0.5 * jax.nn.softplus(-log_alpha)


@functools.partial(jax.jit, static_argnames="dims", inline=FLAT)
def _variational_dropout(
    key: jax.Array, x: jax.Array, log_alpha: jax.Array, dims: tuple[int, ...]
) -> jax.Array:
    log_alpha = jnp.asarray(log_alpha, precision(x))
    some = log_alpha > -jnp.inf
    bounded = jnp.clip(jnp.where(some, log_alpha, 0), -LARGEST, LARGEST)
    stddev = jnp.where(some, jnp.exp(bounded / 2), 0)
    return apply("normal", key, x, dims, a=1.0, b=stddev)
