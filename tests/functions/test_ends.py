"""The ends of every parameter are exact: traced or static, for any x, in every dtype."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cases import CASES, KEY, Case, every_case
from closeness import assert_same_bits
from every import every
from flaxnoise import testing

SPECIAL = {
    "float32": [
        0,
        1 << 31,
        1,
        0x807FFFFF,
        0x7F800000,
        0xFF800000,
        0x7FC12345,
        0xFFC00001,
        0x7F812345,
    ],
    "float64": [
        0,
        1 << 63,
        1,
        (1 << 52) - 1,
        0x7FF << 52,
        0xFFF << 52,
        (0x7FF8 << 48) + 5,
        (0x7FF << 52) + 5,
    ],
}


def every_value(dtype: str) -> jax.Array:
    """All bit patterns of a short dtype, or zeros, subnormals, inf and NaNs of a long one."""
    bits = jnp.finfo(dtype).bits
    patterns = range(1 << bits) if bits <= 16 else SPECIAL[dtype]
    return jnp.asarray(np.array(patterns, f"u{bits // 8}").view(jnp.dtype(dtype)))


DTYPES = ("float16", "bfloat16", "float32", "float64")


def calls(case: Case, params: tuple[float, ...]) -> list[Callable[[jax.Array], jax.Array]]:
    """Returns calls with static and with traced parameters."""
    return [lambda x: case(KEY, x, *params), lambda x: jax.jit(case)(KEY, x, *params)]


every_case_with_zeros = every(
    "case", [case for case in CASES if case.zeros], ids=lambda case: case.name
)


@every_case
def test_a_0_that_is_a_number_costs_nothing(case: Case):
    for params in case.identity:
        program = jax.make_jaxpr(lambda x, p=params: case(KEY, x, *p))(jnp.ones(33))
        assert not program.eqns
        traced_program = jax.make_jaxpr(lambda x, *p: case(KEY, x, *p))(jnp.ones(33), *params)
        assert traced_program.eqns


@every_case
def test_identity_is_x_bit_for_bit(case: Case):
    with jax.enable_x64(True):
        arrays = [every_value(dtype) for dtype in DTYPES]
        for params in case.identity:
            for call in calls(case, params):
                for x in arrays:
                    assert_same_bits(call(x), x)


@every("dtype", ["float8_e4m3fn", "float8_e5m2"])
@every_case
def test_identity_of_eight_bit_floats(case: Case, dtype: str):
    testing.assert_identity(lambda x: case(KEY, x, *case.identity[0]), every_value(dtype))


@every_case
def test_identity_of_complex_numbers(case: Case):
    if not case.complex_too:
        with pytest.raises(TypeError, match="Complex noise is not offered"):
            case(KEY, jnp.ones(3, jnp.complex64))
        return
    parts = every_value("float32")
    x = jax.lax.complex(parts, parts[::-1])
    for params in case.identity:
        assert_same_bits(case(KEY, x, *params), x)


@every_case
def test_gradient_of_the_identity_is_the_cotangent_bit_for_bit(case: Case):
    dy = every_value("float32")
    for params in case.identity:
        (dx,) = jax.jit(jax.linear_transpose(lambda x, p=params: _linear(case, x, p), dy))(dy)
        assert_same_bits(dx, dy)


def _linear(case: Case, dx: jax.Array, params: tuple[float, ...]) -> jax.Array:
    return jax.jvp(lambda x: case(KEY, x, *params), (jnp.ones_like(dx),), (dx,))[1]


@every_case_with_zeros
def test_zeros_have_zero_gradient_even_of_inf_and_nan(case: Case):
    with jax.enable_x64(True):
        arrays = [every_value(dtype) for dtype in DTYPES]
        for params in case.zeros:
            for call in calls(case, params):
                for x in arrays:
                    y, pull = jax.vjp(call, x)
                    for zeros in (y, pull(x)[0]):
                        assert_same_bits(zeros, jnp.zeros_like(x))


@every_case_with_zeros
def test_zeros_stop_the_gradient(case: Case):
    for params in case.zeros:
        testing.assert_stops_gradient(lambda x, p=params: case(KEY, x, *p), jnp.ones((5, 33)))


@every_case
def test_traced_parameters_that_cannot_be_checked_count_as_documented(case: Case):
    """Values below 0, above 1 or NaN are clipped: the result is never NaN or scaled differently."""
    x = jnp.linspace(-2, 2, 165).reshape(5, 33)

    @jax.jit
    def step(x: jax.Array, *params: jax.Array) -> tuple[jax.Array, jax.Array]:
        y, pull = jax.vjp(lambda x: case(KEY, x, *params), x)
        return y, pull(jnp.ones_like(y))[0]

    for given, counts_as in case.unchecked:
        for found, expected in zip(step(x, *given), step(x, *counts_as), strict=True):
            assert_same_bits(found, expected)
            assert jnp.isfinite(found).all()


@every_case
def test_gradients_in_the_parameters_are_finite_at_the_ends_and_beyond(case: Case):
    x = jnp.linspace(-2, 2, 165).reshape(5, 33)
    argnums = tuple(range(len(case.params)))

    @jax.jit
    def gradient(*params: jax.Array) -> tuple[jax.Array, ...]:
        return jax.grad(lambda *params: case(KEY, x, *params).sum(), argnums)(*params)

    beyond = [params for params, _ in case.unchecked]
    for params in (*case.identity, *case.zeros, *beyond):
        assert all(jnp.isfinite(value) for value in gradient(*params))


@every_case
def test_each_example_of_a_batch_has_an_end_of_its_own(case: Case):
    """Parameter arrays of which only some elements are at an end."""
    x = jnp.linspace(-2, 2, 99).reshape(3, 33)
    for end in (*case.identity, *case.zeros):
        rows = [case.params, end, case.params]
        params = [jnp.array(values).reshape(3, 1) for values in zip(*rows, strict=True)]
        y = jax.jit(case)(KEY, x, *params)
        assert_same_bits(y[1], x[1] if end in case.identity else jnp.zeros_like(x[1]))
        for row in (0, 2):
            case.assert_equal(y[row], case(KEY, x)[row], x[row])
