"""The kernel for GPUs computes what the xla form computes: all terms, kinds and dtypes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import interpreted_gpu
from closeness import assert_same_bits, assert_within_ulps, wide
from flaxnoise.backends import xla
from flaxnoise.stream.threshold import threshold

KEY = jnp.uint32([3, 1, 4, 1])
DTYPES = [jnp.float32, jnp.bfloat16, jnp.float16]
TERMS = ("a", "b", "ab", "ac", "ad", "bc", "bd", "abd", "abcd", "c", "d", "cd", "")
KINDS = ("keep", "normal", "masked_normal", "uniform", "unit_uniform", "laplace")
VALUES = {"a": 0.75, "b": -1.3, "c": 0.4, "d": 1.7}
LARGEST = {"laplace": 22.2, "normal": 6.67, "masked_normal": 6.67}  # of |n|, else 1
SIZE = 1024 + 517  # a tile and a tail

every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)


def array(dtype, *shape: int, seed: int = 7) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


def operands(kind: str, terms: str, x: jax.Array, rate: float = 0.3, **values: float) -> dict:
    values = VALUES | values
    chosen = {name: jnp.full((1,) * x.ndim, values[name], jnp.float32) for name in terms}
    if "a" in terms or "b" in terms:
        chosen["x"] = x
    if kind in ("keep", "masked_normal"):
        chosen["threshold"] = threshold(jnp.full((1,) * x.ndim, rate))
    return {"key": KEY, **chosen}


def both(given: dict, kind: str, x: jax.Array, dtype=None) -> tuple[jax.Array, jax.Array]:
    """By the kernel, and by the xla form."""
    value = kind == "keep" and not set(given) & set("abcd")
    params = {"kind": kind, "shape": x.shape, "global_shape": None}
    params["dtype"] = jnp.bool_ if value else dtype or x.dtype
    expected = jax.jit(lambda given: xla.affine(given, **params))(given)
    return interpreted_gpu.affine(given, **params), expected


@pytest.mark.parametrize("terms", TERMS)
def test_every_sum_of_terms(terms: str):
    """The kinds and the dtypes take turns, so that each kind meets four sums or more."""
    number = TERMS.index(terms)
    for kind in ("keep", KINDS[1 + number % 5], KINDS[1 + (number + 2) % 5]):
        x = array(DTYPES[(number + KINDS.index(kind)) % 3], SIZE)
        actual, expected = both(operands(kind, terms, x), kind, x)
        if kind == "keep" and terms in ("a", "b", "c", "d", ""):
            assert_same_bits(actual, expected)  # at most one product, rounded once
        else:
            # Fused multiplications and additions, or not: a few roundings of what is added.
            bound = 3 * (abs(wide(x)) + 1) * LARGEST.get(kind, 1)
            assert_within_ulps(actual, expected, bound)


@every_dtype
@pytest.mark.parametrize("rate", [0.0, 1 / 65536, 0.9995, 1.0])
def test_dropout_is_equal_bit_for_bit(dtype, rate: float):
    x = array(dtype, 5, 1031)
    special = jnp.asarray([jnp.nan, jnp.inf, -jnp.inf, -0.0, 0.0, 1e-40, -1e-7], dtype)
    x = jax.lax.dynamic_update_slice(x, jnp.tile(special, 40)[None], (1, 3))
    scale = 0.0 if rate == 1 else 1 / (1 - rate)
    actual, expected = both(operands("keep", "b", x, rate, b=scale), "keep", x)
    assert_same_bits(actual, expected)
    if rate in (0, 1):
        assert_same_bits(actual, x if rate == 0 else jnp.zeros_like(x))


@every_dtype
@pytest.mark.parametrize("kind", ["keep", "normal", "masked_normal"])
def test_absent_noise_gives_x_bit_for_bit(kind: str, dtype):
    x = jnp.concatenate([array(dtype, 1100), jnp.asarray([0.0, -0.0, np.inf, -np.inf], dtype)])
    if dtype == jnp.bfloat16:
        nans = np.asarray([0x7FC1, 0xFFC5], np.uint16).view(jnp.bfloat16.dtype)
        x = jnp.concatenate([nans, x])
    terms, values = ("b", {"b": 1.0}) if kind == "keep" else ("ad", {"a": 1.0, "d": 0.0})
    actual, _ = both(operands(kind, terms, x, rate=0.0, **values), kind, x)
    assert_same_bits(actual, x)


def test_infinite_and_undefined_coefficients():
    x = jnp.tile(jnp.asarray([0.0, 1.0, -3.0, jnp.inf], jnp.float32), 300)
    for value, terms in ((np.inf, "b"), (np.nan, "b"), (np.inf, "abcd"), (0.0, "abcd")):
        actual, expected = both(operands("keep", terms, x, b=value), "keep", x)
        np.testing.assert_array_equal(wide(actual), wide(expected))


def test_another_dtype_than_that_of_x():
    x = array(jnp.float32, SIZE)
    assert_same_bits(*both(operands("keep", "b", x), "keep", x, jnp.bfloat16))


@pytest.mark.parametrize(("rows", "length"), [((2, 1), 1033), ((1, 3), 1028), ((1, 1), 2048)])
def test_batches_of_every_operand(rows: tuple[int, int], length: int):
    """Two keys, three thresholds, and as many x as rows says; rows of 1033 are padded."""
    generator = np.random.default_rng(9)
    given = {
        "key": jnp.asarray(generator.integers(0, 2**32, (2, 1, 4), np.uint32)),
        "threshold": threshold(jnp.asarray([0.1, 0.5, 0.9])).reshape(1, 3, 1),
        "x": array(jnp.float32, *rows, length),
        "b": jnp.asarray([[[1.5]], [[2.5]]], jnp.float32),
    }
    actual, expected = both(given, "keep", jnp.zeros(length))
    assert actual.shape == (2, 3, length)
    assert_same_bits(actual, expected)


def test_parameters_that_are_arrays():
    x = array(jnp.float32, 6, 515)
    given = operands("keep", "b", x)
    given["threshold"] = threshold(jnp.linspace(0, 1, 515)[None])
    given["b"] = jnp.linspace(0, 2, 6)[:, None]
    assert_same_bits(*both(given, "keep", x))


@pytest.mark.parametrize("kind", ["keep", "uniform"])
def test_noise_shared_along_dimensions_of_x(kind: str):
    x = array(jnp.float32, 3, 1100)
    given = operands(kind, "b", x)
    params = {"kind": kind, "shape": (1, 1100), "global_shape": None, "dtype": jnp.float32}
    expected = jax.jit(lambda given: xla.affine(given, **params))(given)
    assert_same_bits(interpreted_gpu.affine(given, **params), expected)
