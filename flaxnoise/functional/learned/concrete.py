"""Concrete dropout: a continuous mask, which makes the rate learnable."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from flaxnoise import arguments
from flaxnoise.affine import FLAT, draw, here, reduced, weakly_typed_as
from flaxnoise.functional.formula import finite, precision

LARGEST = 16.0  # bound of |logit|: rates stay in [1.1e-7, 1 − 1.1e-7]


def concrete_dropout(
    key: jax.Array,
    x: jax.Array,
    logit: jax.typing.ArrayLike,
    *,
    temperature: jax.typing.ArrayLike = 0.1,
    broadcast_dims: int | Sequence[int] = (),
) -> jax.Array:
    """Multiplies by a continuous mask: y = x·(1 − z)/(1 − rate), rate = sigmoid(logit).

    z = sigmoid((logit + ln u − ln(1 − u))/temperature), u ~ U(0, 1). As the temperature goes to 0,
    z becomes 1 with probability rate and 0 otherwise; at every temperature, P(z > ½) = rate. Train
    logit with ``concrete_dropout_penalty`` in the loss. The backward pass draws the mask again
    instead of storing it.

    Gal, Hron, Kendall, "Concrete dropout", NeurIPS 2017.

    Args:
        key: a jax.random key, typed or raw; under vmap, a batch of them.
        x: floating array of any shape.
        logit: log(rate/(1 − rate)); a number, or an array that broadcasts to x. May be traced or
            learned, and has a gradient. Values beyond ±16 count as ±16. A value that is traced or
            on an accelerator is not checked: NaN counts as −16.
        temperature: a number > 0, may be traced. Values below 2^-10 count as 2^-10.
        broadcast_dims: dimensions along which the mask is shared.

    Returns:
        An array of x's shape and dtype.

    Raises:
        TypeError: key is not a key, x is not floating, logit or temperature is not real,
            broadcast_dims are not integers.
        ValueError: logit is NaN or not broadcastable to x, temperature is not finite, not above 0
            or not a scalar, a batch of keys, broadcast_dims out of range or repeated.

    Example:
        >>> y = flaxnoise.concrete_dropout(key, x, logit=-2.0)
    """
    owner = "concrete_dropout"
    x = arguments.inexact(owner, x, complex_too=False)
    logit = arguments.real(owner, "logit", logit, x.shape)
    temperature = arguments.positive(owner, "temperature", temperature, ())
    dims = arguments.dimensions(owner, broadcast_dims, x.ndim)
    return _concrete(arguments.single_key(owner, key), x, logit, temperature, dims)


def concrete_dropout_penalty(
    logit: jax.typing.ArrayLike,
    kernel: jax.Array,
    *,
    weight: jax.typing.ArrayLike,
    entropy: jax.typing.ArrayLike,
) -> jax.Array:
    """Computes the regulariser: weight·Σ kernel²/(1 − rate) − entropy·inputs·H(rate).

    H(rate) = −rate·ln rate − (1 − rate)·ln(1 − rate), and inputs is the product of kernel's
    dimensions but the last. Add it to the loss for each layer preceded by concrete dropout. For a
    mean regression loss over N examples and a prior length scale l, Gal et al. use weight = l²/N
    and entropy = 2/N.

    Args:
        logit: a number; otherwise as in ``concrete_dropout``.
        kernel: kernel of the layer after the dropout, outputs last.
        weight: factor of the term in the kernel, ≥ 0. May be traced; then it is not checked: where
            it is not finite it counts as 0.
        entropy: factor of the term in the rate, likewise.

    Returns:
        A scalar.

    Raises:
        TypeError: one of them is not real, or kernel is not floating.
        ValueError: logit is NaN, weight or entropy is negative or not finite, one is not a scalar.

    Example:
        >>> kernel = jnp.ones((129, 5))
        >>> penalty = flaxnoise.concrete_dropout_penalty(-2.0, kernel, weight=1e-6, entropy=1e-3)
    """
    owner = "concrete_dropout_penalty"
    kernel = arguments.floating(owner, "kernel", kernel)
    logit = arguments.real(owner, "logit", logit, ())
    weight = arguments.nonnegative(owner, "weight", weight, ())
    entropy = arguments.nonnegative(owner, "entropy", entropy, ())
    dtype = precision(kernel)
    weight, entropy = finite(weight, dtype), finite(entropy, dtype)
    logit = _bounded(logit, dtype)
    rate, kept = jax.nn.sigmoid(logit), jax.nn.sigmoid(-logit)
    inputs = kernel.size // kernel.shape[-1] if kernel.ndim else 1
    negative_entropy = rate * jax.nn.log_sigmoid(logit) + kept * jax.nn.log_sigmoid(-logit)
    square = jnp.sum(jnp.square(kernel.astype(dtype)))
    return jnp.asarray(weight * square / kept + entropy * inputs * negative_entropy)


@functools.partial(jax.jit, static_argnames="dims", inline=FLAT)
def _concrete(
    key: jax.Array,
    x: jax.Array,
    logit: jax.Array,
    temperature: jax.Array,
    dims: tuple[int, ...],
) -> jax.Array:
    words = arguments.key_words(key)
    return jax.checkpoint(functools.partial(_masked, dims=dims))(words, x, logit, temperature)


def _masked(
    key: jax.Array, x: jax.Array, logit: jax.Array, temperature: jax.Array, *, dims: tuple[int, ...]
) -> jax.Array:
    dtype = precision(x)
    logit = _bounded(logit, dtype)
    temperature = jnp.asarray(temperature, dtype)
    temperature = jnp.where(temperature > 2.0**-10, temperature, 2.0**-10)  # also replaces NaN
    shape = reduced(x, dims)
    u = draw("unit_uniform", key, shape, jnp.float32, location=here(shape, dims)).astype(dtype)
    logistic = jnp.log(u) - jnp.log1p(-u)
    factor = jax.nn.sigmoid(-(logit + logistic) / temperature) * (1 + jnp.exp(logit))
    return weakly_typed_as((x.astype(dtype) * factor).astype(x.dtype), x)


def _bounded(logit: jax.typing.ArrayLike, dtype: jnp.dtype) -> jax.Array:
    logit = jnp.asarray(logit, dtype)
    return jnp.clip(jnp.where(jnp.isnan(logit), -LARGEST, logit), -LARGEST, LARGEST)
