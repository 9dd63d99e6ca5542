"""Equality of arrays as the tests mean it: bit for bit, or within counted ulps of what was added.

Two programs may draw a normal up to 8 float32 ulp apart: a compiler is free to fuse the
multiplications and additions of its polynomials, or not. Words, masks and uniforms have no such
freedom.
"""

import jax
import jax.numpy as jnp
import numpy as np

NOISE_ULPS = 8
FLOAT32_ULP = 2.0**-23


def assert_same_bits(actual: jax.Array, expected: jax.Array) -> None:
    """Same shape, dtype and bits: NaN payloads and signs of zeros included."""
    _assert_same_type(actual, expected)
    np.testing.assert_array_equal(bits(actual), bits(expected))


def assert_within_ulps(
    actual: jax.Array, expected: jax.Array, terms: jax.typing.ArrayLike, *, ulps: int = NOISE_ULPS
) -> None:
    """Each element within ulps of float32 of its terms, and within one rounding to the dtype.

    Args:
        actual: what is tested.
        expected: what it should be.
        terms: bound of the magnitudes that were added up to the result; cancellation makes the
            result small, not their errors.
        ulps: how many roundings of the terms the two programs may differ by.
    """
    _assert_same_type(actual, expected)
    rounding = float(jnp.finfo(expected.dtype).eps) * abs(wide(expected))
    allowed = ulps * FLOAT32_ULP * abs(wide(terms)) + rounding
    error = abs(wide(actual) - wide(expected))
    worst = np.max(error / np.maximum(allowed, np.finfo(np.float64).tiny), initial=0)
    assert np.all(error <= allowed), f"{worst:.3g} times the allowed error"


def bits(x: jax.Array) -> np.ndarray:
    """The array's bytes as unsigned integers, a complex number's parts one after the other."""
    x = np.asarray(x)
    size = x.dtype.itemsize // (2 if np.iscomplexobj(x) else 1)
    return np.ascontiguousarray(x).view(f"u{size}")


def wide(x: jax.typing.ArrayLike) -> np.ndarray:
    """As float64 or complex128, exactly."""
    x = np.asarray(x)
    return x.astype(np.complex128 if np.iscomplexobj(x) else np.float64)


def _assert_same_type(actual: jax.Array, expected: jax.Array) -> None:
    assert (actual.shape, actual.dtype) == (expected.shape, expected.dtype)
