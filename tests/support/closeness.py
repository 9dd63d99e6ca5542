"""Equality of arrays in the tests: bit for bit, or within counted ulps of the summed terms.

Normals of two programs may differ by up to 8 float32 ulp, since a compiler is free to fuse the
multiplications and additions of the polynomials. Words, masks and uniforms are exact.
"""

import jax
import jax.numpy as jnp
import numpy as np

NOISE_ULPS = 8
FLOAT32_ULP = 2.0**-23


def assert_same_bits(actual: jax.Array, expected: jax.Array) -> None:
    """Asserts the same shape, dtype and bits, including NaN payloads and signs of zeros."""
    _assert_same_type(actual, expected)
    np.testing.assert_array_equal(bits(actual), bits(expected))


def assert_within_ulps(
    actual: jax.Array, expected: jax.Array, terms: jax.typing.ArrayLike, *, ulps: int = NOISE_ULPS
) -> None:
    """Asserts that elements differ by at most ulps of float32 of the terms and one rounding.

    Args:
        actual: the result under test.
        expected: the expected result.
        terms: bound of the magnitudes of the summed terms; cancellation reduces the result, not
            the errors of its terms.
        ulps: how many roundings of the terms the two programs may differ by.
    """
    _assert_same_type(actual, expected)
    rounding = float(jnp.finfo(expected.dtype).eps) * abs(wide(expected))
    allowed = ulps * FLOAT32_ULP * abs(wide(terms)) + rounding
    error = abs(wide(actual) - wide(expected))
    worst = np.max(error / np.maximum(allowed, np.finfo(np.float64).tiny), initial=0)
    assert np.all(error <= allowed), f"{worst:.3g} times the allowed error"


def bits(x: jax.Array) -> np.ndarray:
    """Returns the elements' bits as unsigned integers; the parts of complex numbers alternate."""
    x = np.asarray(x)
    size = x.dtype.itemsize // (2 if np.iscomplexobj(x) else 1)
    return np.ascontiguousarray(x).view(f"u{size}")


def wide(x: jax.typing.ArrayLike) -> np.ndarray:
    """Converts to float64 or complex128, exactly."""
    x = np.asarray(x)
    return x.astype(np.complex128 if np.iscomplexobj(x) else np.float64)


def _assert_same_type(actual: jax.Array, expected: jax.Array) -> None:
    assert (actual.shape, actual.dtype) == (expected.shape, expected.dtype)
