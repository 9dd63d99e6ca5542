"""Every floating dtype: the same noise, the formula in float32 or better, one rounding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cases import KEY, Case, array, every_case, few_cases
from closeness import wide
from every import every

SHORT = ["bfloat16", "float16"]
SHORTEST = ["float8_e4m3fn", "float8_e5m2", "float8_e4m3b11fnuz", "float8_e4m3", "float8_e3m4"]


@every("dtype", ["bfloat16", "float64"])
@every_case
def test_equals_the_reference_in_value_and_gradient(case: Case, dtype: str):
    with jax.enable_x64(dtype == "float64"):
        x, weights = array(5, 33, dtype=dtype), array(5, 33, dtype=dtype, seed=1)

        def step(f) -> tuple[jax.Array, jax.Array]:
            def run(x: jax.Array) -> tuple[jax.Array, jax.Array]:
                y, pull = jax.vjp(lambda x: f(KEY, x), x)
                return y, pull(weights)[0]

            return jax.jit(run)(x)

        (y, slope), (expected_y, expected_slope) = step(case), step(case.expected)
        case.assert_equal(y, expected_y, x)
        case.assert_equal(slope, expected_slope, weights)


@few_cases
def test_eight_bit_floats_equal_the_reference(case: Case):
    arrays = [array(5, 33, dtype=dtype) for dtype in SHORTEST]
    found = jax.jit(lambda arrays: [case(KEY, x) for x in arrays])(arrays)
    reference = jax.jit(case.expected)
    for x, y in zip(arrays, found, strict=True):
        assert (y.dtype, y.shape) == (x.dtype, x.shape)
        assert_rounded_once(y, wide(reference(KEY, x.astype(jnp.float32))))


def assert_rounded_once(y: jax.Array, expected: np.ndarray) -> None:
    # One rounding to 3 or more bits of mantissa in the normal range, else to the smallest step.
    info = jnp.finfo(y.dtype)
    inside = abs(expected) <= float(info.max)
    error = np.abs(wide(y) - expected)[inside]
    step = np.maximum(abs(expected[inside]) * float(info.eps), float(info.smallest_subnormal))
    assert np.all(error <= step / 2 * (1 + 2.0**-10))


@every("dtype", ["complex64", "complex128"])
@every_case
def test_complex_numbers_are_scaled_or_refused(case: Case, dtype: str):
    with jax.enable_x64(dtype == "complex128"):
        x = array(5, 33, dtype=dtype)
        if not case.complex_too:
            with pytest.raises(TypeError, match=rf"^{case.name}: x must be floating, got complex"):
                case(KEY, x)
            return
        y = jax.jit(case)(KEY, x)
        assert y.dtype == x.dtype
        for part in (jnp.real, jnp.imag):
            case.assert_equal(part(y), jax.jit(case)(KEY, part(x)), part(x))
        (slope,) = jax.vjp(lambda x: case(KEY, x), x)[1](x)
        case.assert_equal(jnp.imag(slope), jax.jit(case)(KEY, jnp.imag(x)), jnp.imag(x))


@every("dtype", SHORT)
@every_case
def test_short_floats_are_rounded_once(case: Case, dtype: str):
    """They are the rounded float32 results; neither coefficients nor noise are rounded before."""
    x = array(33, 129, dtype=dtype)
    exact = wide(case(KEY, x.astype(jnp.float32)))
    error = abs(wide(case(KEY, x)) - exact)
    # Half a step of dtype, and the float32 difference that another fusion makes before rounding.
    step = float(jnp.finfo(dtype).eps) * np.exp2(np.floor(np.log2(np.maximum(abs(exact), 2e-5))))
    slack = 0 if case.exact else 8 * 2.0**-23 * (abs(wide(x)) + abs(exact))
    assert np.all(error <= step / 2 + slack)


@every_case
def test_integers_and_booleans_are_refused_at_every_rate(case: Case):
    """Other libraries refuse them only at rates between 0 and 1, or convert them to float32."""
    allowed = "floating or complex" if case.complex_too else "floating"
    for dtype in ("int8", "int32", "uint32", "bool"):
        for params in (case.params, *case.identity, *case.zeros):
            with pytest.raises(TypeError) as error:
                case(KEY, jnp.ones(7, dtype), *params)
            assert str(error.value) == f"{case.name}: x must be {allowed}, got {dtype}[7]."


@every_case
def test_numpy_arrays_and_numbers_are_taken_as_they_are(case: Case):
    x = np.linspace(0.5, 2, 7, dtype=np.float32)
    case.assert_equal(case(KEY, x), case(KEY, jnp.asarray(x)), x)
    y = case(KEY, 0.5)
    assert (y.shape, y.dtype, y.weak_type) == ((), jnp.float32, True)  # like jnp.sin(0.5)
