"""A dense layer with noisy weights."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from flaxnoise import arguments, random
from flaxnoise.affine import FLAT, Location, apply, shard_of, weakly_typed_as, without_local_shard
from flaxnoise.functional.formula import precision


def noisy_dense(
    key: jax.Array,
    x: jax.Array,
    kernel: jax.Array,
    bias: jax.Array,
    kernel_stddev: jax.Array,
    bias_stddev: jax.Array,
    *,
    factorised: bool = True,
) -> jax.Array:
    """Multiplies by a noisy matrix: y = x·(kernel + kernel_stddev⊙n) + bias + bias_stddev⊙m.

    If factorised, n = f(p)·f(q)ᵀ and m = f(q), with f(v) = sign(v)·√|v|, a normal pᵢ for each input
    and a normal qⱼ for each output. Otherwise all elements of n and m are independent normals. The
    whole batch shares the noise. All four parameters have gradients; elements of the stddevs may be
    negative.

    Fortunato et al., "Noisy networks for exploration", ICLR 2018.

    Args:
        key: a jax.random key, typed or raw; under vmap, a batch of them.
        x: floating array [*batch, inputs].
        kernel: floating array [inputs, outputs].
        bias: floating array [outputs].
        kernel_stddev: array of kernel's shape.
        bias_stddev: array of bias's shape.
        factorised: whether the noise of the matrix is a product of two vectors.

    Returns:
        An array [*batch, outputs] of the dtype that x and kernel promote to.

    Raises:
        TypeError: key is not a key, x or a parameter is not floating.
        ValueError: shapes that do not fit, a batch of keys, or inputs that are sharded under
            ``local_shard``.

    Example:
        >>> kernel, bias = jnp.ones((129, 5)), jnp.zeros(5)
        >>> y = flaxnoise.noisy_dense(key, x, kernel, bias, 0.1 * kernel, 0.1 * bias)
    """
    owner = "noisy_dense"
    x, kernel, bias, kernel_stddev, bias_stddev = _checked(
        x, kernel=kernel, bias=bias, kernel_stddev=kernel_stddev, bias_stddev=bias_stddev
    )
    shard = shard_of(x.shape)
    if shard is not None and shard[0][-1] != x.shape[-1]:
        raise ValueError(
            f"{owner}: x must not be sharded along its inputs under local_shard, got a shard of "
            f"{x.shape[-1]} of {shard[0][-1]} inputs. Each device would draw the same noise for "
            "its part of kernel."
        )
    factorised = arguments.flag(owner, "factorised", factorised)
    form = _factorised if factorised else _independent
    key = arguments.single_key(owner, key)
    return form(key, x, kernel, bias, kernel_stddev, bias_stddev)


def calm_dense(x: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
    """``noisy_dense`` without noise: y = x·kernel + bias, with the same checks."""
    x, kernel, bias = _checked(x, kernel=kernel, bias=bias)
    return x @ kernel + _aligned(bias, x.ndim)


def _checked(x: Any, **parameters: Any) -> tuple[jax.Array, ...]:
    """x and the parameters as arrays, if types and shapes fit.

    Raises:
        TypeError: x or a parameter is not floating.
        ValueError: shapes that do not fit.
    """
    owner = "noisy_dense"
    x = arguments.inexact(owner, x, complex_too=False)
    arrays = {name: arguments.floating(owner, name, own) for name, own in parameters.items()}
    arguments.at_least_dimensions(owner, x, 1)
    bias = arrays["bias"]
    shape = (x.shape[-1], bias.shape[-1] if bias.ndim else 0)
    for part, wanted in (("kernel", shape), ("bias", shape[1:])):
        for name in (part, f"{part}_stddev"):
            if name in arrays:
                arguments.of_shape(owner, name, arrays[name], wanted)
    return (x, *arrays.values())


@functools.partial(jax.jit, inline=FLAT)
def _factorised(
    key: jax.Array,
    x: jax.Array,
    kernel: jax.Array,
    bias: jax.Array,
    kernel_stddev: jax.Array,
    bias_stddev: jax.Array,
) -> jax.Array:
    inputs, outputs = kernel.shape
    with without_local_shard():
        n = random.normal(key, (inputs + outputs,), precision(kernel))
    n = weakly_typed_as((jnp.sign(n) * jnp.sqrt(jnp.abs(n))).astype(kernel.dtype), kernel)
    into, out_of, bias, bias_stddev = (
        _aligned(v, x.ndim) for v in (n[:inputs], n[inputs:], bias, bias_stddev)
    )
    # (x·f(p))·kernel_stddev·f(q): the noisy matrix is never formed.
    noise = ((x * into) @ kernel_stddev + bias_stddev) * out_of
    return x @ kernel + bias + noise


@functools.partial(jax.jit, inline=FLAT)
def _independent(
    key: jax.Array,
    x: jax.Array,
    kernel: jax.Array,
    bias: jax.Array,
    kernel_stddev: jax.Array,
    bias_stddev: jax.Array,
) -> jax.Array:
    # The noise of one matrix [inputs + 1, outputs], whose last row is that of the bias.
    noisy_kernel = kernel + _times_normal(key, kernel_stddev, 0)
    noisy_bias = bias + _times_normal(key, bias_stddev, kernel.size)
    return x @ noisy_kernel + _aligned(noisy_bias, x.ndim)


def _aligned(vector: jax.Array, rank: int) -> jax.Array:
    return vector.reshape((1,) * (rank - 1) + vector.shape)


def _times_normal(key: jax.Array, stddev: jax.Array, start: int) -> jax.Array:
    """stddev·n, n starting at a linear index. stddev is x of the formula, so it may be negative."""
    location = Location(jnp.array([start & 0xFFFFFFFF, start >> 32], jnp.uint32))
    return apply("normal", key, stddev, location=location, b=1.0)


def noisy_dense_start(
    inputs: int, factorised: bool, stddev: float | None = None
) -> tuple[float, float]:
    """Initial values (bound of uniform kernel and bias, stddev): section 3.2 of the paper."""
    if factorised:
        return inputs**-0.5, (0.5 if stddev is None else stddev) * inputs**-0.5
    return (3 / inputs) ** 0.5, 0.017 if stddev is None else stddev
