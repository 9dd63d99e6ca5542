"""The table of functions, over which the tests of transforms, ends, gradients and dtypes run.

Each row has an independent reference in plain jnp on the noise as a value, which jax's own rules
differentiate and batch. A new function of flaxnoise is a new row.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

import flaxnoise
from closeness import NOISE_ULPS, assert_same_bits, assert_within_ulps, wide
from every import every
from flaxnoise import random

Params = tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Case:
    """A public function.

    Attributes:
        function: (key, x, *params, broadcast_dims=()) -> y.
        reference: an independent implementation.
        names: names of the parameters.
        params: ordinary values of the parameters.
        learned: positions of the parameters that have a true gradient.
        identity: parameters at which y is x, bit for bit.
        zeros: parameters at which y and its gradient are 0 whatever x is.
        unchecked: invalid parameters, possible only if traced → those that they count as.
        exact: whether the result is exact; otherwise normals may be a few ulps off.
        complex_too: whether x may be complex.
        saves_x: whether the gradient in the learned parameters needs x itself.
    """

    function: Callable[..., jax.Array]
    reference: Callable[..., jax.Array]
    names: tuple[str, ...]
    params: Params
    learned: tuple[int, ...] = ()
    identity: tuple[Params, ...] = ()
    zeros: tuple[Params, ...] = ()
    unchecked: tuple[tuple[Params, Params], ...] = ()
    exact: bool = False
    complex_too: bool = False
    saves_x: bool = False

    @property
    def name(self) -> str:
        """The public name of the function."""
        return self.function.__name__

    def __call__(self, key: jax.Array, x: jax.Array, *params: jax.typing.ArrayLike) -> jax.Array:
        """Calls the function, with its ordinary parameters unless others are given."""
        return self.function(key, x, *(params or self.params))

    def expected(self, key: jax.Array, x: jax.Array, *params: jax.typing.ArrayLike) -> jax.Array:
        """Calls the reference."""
        return self.reference(key, x, *(params or self.params))

    def tangent(self, key: jax.Array, x: jax.Array, dx: jax.Array) -> jax.Array:
        """Returns dy for a dx, by jax's differentiation of the reference.

        It is also dx for a dy of that value, since the map is elementwise.
        """
        return jax.jit(lambda x, dx: jax.jvp(lambda x: self.expected(key, x), (x,), (dx,))[1])(
            x, dx
        )

    def assert_equal(
        self,
        actual: jax.Array,
        expected: jax.Array,
        terms: jax.typing.ArrayLike,
        *,
        factors: int = 1,
    ) -> None:
        """Asserts equality, bit for bit if exact, else within the normals' ulps of the terms.

        Args:
            actual: the result under test.
            expected: the expected result.
            terms: magnitudes of the terms that were summed, besides the result itself.
            factors: how many of our outputs were multiplied into the result.
        """
        if self.exact:
            assert_same_bits(actual, expected)
        else:
            terms = abs(wide(terms)) + abs(wide(expected))
            assert_within_ulps(actual, expected, terms, ulps=NOISE_ULPS * factors)


def _dropout(key, x, rate, broadcast_dims=()):
    keep = random.keep_mask(key, _reduced(x, broadcast_dims), rate)
    scale = 1 / (1 - random.realised_rate(rate).astype(_precision(x)))
    return jnp.where(keep, _scaled(x, scale), 0)


def _gaussian_dropout(key, x, rate, broadcast_dims=()):
    rate = jnp.asarray(rate, _precision(x))
    n = random.normal(key, _reduced(x, broadcast_dims)).astype(_precision(x))
    return _scaled(x, 1 + jnp.sqrt(rate / (1 - rate)) * n)


def _gaussian_noise(key, x, stddev, broadcast_dims=()):
    n = random.normal(key, _reduced(x, broadcast_dims)).astype(_precision(x))
    return (x.astype(_precision(x)) + jnp.asarray(stddev, _precision(x)) * n).astype(x.dtype)


def _masked_gaussian_noise(key, x, rate, stddev, broadcast_dims=()):
    keep = random.keep_mask(key, _reduced(x, broadcast_dims), rate)
    return jnp.where(keep, x, _gaussian_noise(key, x, stddev, broadcast_dims))


def _alpha_dropout(key, x, rate, broadcast_dims=()):
    keep = random.keep_mask(key, _reduced(x, broadcast_dims), rate)
    gone = random.realised_rate(rate).astype(_precision(x))
    alpha = jnp.asarray(-1.0507009873554805 * 1.6732632423543772, _precision(x))
    slope = jnp.where(gone < 1, ((1 - gone) * (1 + alpha**2 * gone)) ** -0.5, 0)
    shift = jnp.where(gone > 0, -slope * gone * alpha, 0)
    return jnp.where(keep, _scaled(x, slope, shift), (slope * alpha + shift).astype(x.dtype))


def _uniform_noise(key, x, scale, broadcast_dims=()):
    n = random.signed_uniform(key, _reduced(x, broadcast_dims)).astype(_precision(x))
    return _scaled(x, jnp.float32(1), jnp.asarray(scale, _precision(x)) * n)


def _multiplicative_uniform(key, x, scale, broadcast_dims=()):
    n = random.signed_uniform(key, _reduced(x, broadcast_dims)).astype(_precision(x))
    return _scaled(x, 1 + jnp.asarray(scale, _precision(x)) * n)


def _laplace_noise(key, x, scale, broadcast_dims=()):
    n = random.laplace(key, _reduced(x, broadcast_dims)).astype(_precision(x))
    return _scaled(x, jnp.float32(1), jnp.asarray(scale, _precision(x)) * n)


def _salt_and_pepper_noise(key, x, rate, low, high, broadcast_dims=()):
    shape = _reduced(x, broadcast_dims)
    low, high = (jnp.asarray(value, x.dtype) for value in (low, high))
    salted = jnp.where(random.keep_mask(key, shape, rate), x, high)
    return jnp.where(random.keep_mask(key, shape, rate / 2), salted, low)


def _scaled(x: jax.Array, factor: jax.Array, shift: jax.typing.ArrayLike = 0) -> jax.Array:
    """Computes x·factor + shift in the formula's precision, rounded once; complex by parts."""
    if jnp.iscomplexobj(x):
        return jax.lax.complex(_scaled(jnp.real(x), factor), _scaled(jnp.imag(x), factor))
    return (x.astype(_precision(x)) * factor.astype(_precision(x)) + shift).astype(x.dtype)


def _precision(x: jax.Array) -> jnp.dtype:
    return jnp.dtype(jnp.float64 if x.dtype in (jnp.float64, jnp.complex128) else jnp.float32)


def _reduced(x: jax.Array, broadcast_dims: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(1 if axis in broadcast_dims else size for axis, size in enumerate(x.shape))


# Invalid traced values → the values that they count as.
RATES = (((-1.0,), (0.0,)), ((2.0,), (1.0,)), ((math.nan,), (1.0,)))
MAGNITUDES = (((math.nan,), (0.0,)), ((math.inf,), (0.0,)), ((-math.inf,), (0.0,)))

CASES = [
    Case(
        flaxnoise.dropout,
        _dropout,
        names=("rate",),
        params=(0.3,),
        identity=((0.0,),),
        zeros=((1.0,),),
        unchecked=RATES,
        exact=True,
        complex_too=True,
    ),
    Case(
        flaxnoise.gaussian_dropout,
        _gaussian_dropout,
        names=("rate",),
        params=(0.3,),
        learned=(0,),
        identity=((0.0,),),
        unchecked=(
            ((-1.0,), (0.0,)),
            ((math.nan,), (0.0,)),
            ((1.0,), (1 - 2.0**-24,)),
            ((2.0,), (1 - 2.0**-24,)),
        ),
        complex_too=True,
        saves_x=True,
    ),
    Case(
        flaxnoise.gaussian_noise,
        _gaussian_noise,
        names=("stddev",),
        params=(0.3,),
        learned=(0,),
        identity=((0.0,),),
        unchecked=MAGNITUDES,
    ),
    Case(
        flaxnoise.masked_gaussian_noise,
        _masked_gaussian_noise,
        names=("rate", "stddev"),
        params=(0.3, 0.7),
        learned=(1,),
        identity=((0.0, 0.7), (0.3, 0.0), (1.0, 0.0)),
        unchecked=(
            ((-1.0, 0.7), (0.0, 0.7)),
            ((2.0, 0.7), (1.0, 0.7)),
            ((math.nan, 0.7), (1.0, 0.7)),
            ((0.3, math.nan), (0.3, 0.0)),
        ),
    ),
    Case(
        flaxnoise.alpha_dropout,
        _alpha_dropout,
        names=("rate",),
        params=(0.3,),
        identity=((0.0,),),
        zeros=((1.0,),),
        unchecked=RATES,
    ),
    Case(
        flaxnoise.uniform_noise,
        _uniform_noise,
        names=("scale",),
        params=(0.3,),
        learned=(0,),
        identity=((0.0,),),
        unchecked=MAGNITUDES,
    ),
    Case(
        flaxnoise.multiplicative_uniform,
        _multiplicative_uniform,
        names=("scale",),
        params=(0.3,),
        learned=(0,),
        identity=((0.0,),),
        unchecked=MAGNITUDES,
        complex_too=True,
        saves_x=True,
    ),
    Case(
        flaxnoise.laplace_noise,
        _laplace_noise,
        names=("scale",),
        params=(0.3,),
        learned=(0,),
        identity=((0.0,),),
        unchecked=MAGNITUDES,
    ),
    Case(
        flaxnoise.salt_and_pepper_noise,
        _salt_and_pepper_noise,
        names=("rate", "low", "high"),
        params=(0.3, -0.7, 1.1),
        learned=(1, 2),
        identity=((0.0, -0.7, 1.1),),
        unchecked=(
            ((-1.0, -0.7, 1.1), (0.0, -0.7, 1.1)),
            ((math.nan, -0.7, 1.1), (1.0, -0.7, 1.1)),
            ((0.3, math.nan, math.inf), (0.3, 0.0, 0.0)),
        ),
        exact=True,
    ),
]

KEY = jax.random.key(7)
every_case = every("case", CASES, ids=lambda case: case.name)
# A few that have every kind of operand, for expensive tests of the primitive.
few_cases = every("case", [CASES[0], CASES[1], CASES[3]], ids=lambda case: case.name)


def array(*shape: int, dtype: jax.typing.DTypeLike = jnp.float32, seed: int = 0) -> jax.Array:
    """Returns a fixed array of ordinary numbers, none of them 0."""
    generator = np.random.default_rng(seed)
    values = generator.uniform(0.5, 2, shape) * generator.choice((-1, 1), shape)
    if jnp.issubdtype(dtype, jnp.complexfloating):
        values = values + 1j * generator.uniform(0.5, 2, shape)
    return jnp.asarray(values, dtype)
