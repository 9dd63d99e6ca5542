"""The kernel computes what the xla form computes: all terms, kinds and dtypes, on every target."""

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from closeness import assert_same_bits, assert_within_ulps, wide
from flaxnoise.affine import affine
from flaxnoise.backends import cpu_library
from flaxnoise.stream.threshold import threshold

KEY = jnp.uint32([3, 1, 4, 1])
DTYPES = [jnp.float32, jnp.bfloat16, jnp.float16, jnp.float64]
TERMS = ["a", "b", "ab", "ac", "ad", "bc", "bd", "abd", "abcd", "c", "d", "cd", ""]
KINDS = ["keep", "normal", "masked_normal", "uniform", "unit_uniform", "laplace"]
VALUES = {"a": 0.75, "b": -1.3, "c": 0.4, "d": 1.7}
SIZE = 1024 + 517  # a whole chunk and a ragged rest

every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)


@pytest.fixture(autouse=True)
def _x64():
    with jax.enable_x64(True):
        yield


def array(dtype, *shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(7).normal(size=shape), dtype)


def precision(dtype) -> jnp.dtype:
    return jnp.dtype(jnp.float64 if dtype == jnp.float64 else jnp.float32)


def operands(kind: str, terms: str, x: jax.Array, rate: float = 0.3, **values: float) -> dict:
    values = VALUES | values
    chosen = {name: jnp.full((1,), values[name], precision(x.dtype)) for name in terms}
    if "a" in terms or "b" in terms:
        chosen["x"] = x
    if kind in ("keep", "masked_normal"):
        chosen["threshold"] = threshold(rate).reshape(1)
    return {"key": KEY, **chosen}


def programs(kind: str, cases: list[dict], x: jax.Array) -> dict[str, list[jax.Array]]:
    """The results of all cases by the xla form and by each SIMD target, each in one program."""

    def run(cases: list[dict], backend: str) -> list[jax.Array]:
        return [
            affine(
                given,
                kind=kind,
                shape=x.shape,
                dtype=jnp.bool_ if kind == "keep" and not set(given) & set("abcd") else x.dtype,
                backend=backend,
            )
            for given in cases
        ]

    results = {"xla": jax.jit(functools.partial(run, backend="xla"))(cases)}
    kernel = jax.jit(functools.partial(run, backend="cpu"))
    before = cpu_library.simd_target()
    for target in cpu_library.simd_targets():
        cpu_library.use_simd_target(target)
        results[target] = jax.block_until_ready(kernel(cases))
    cpu_library.use_simd_target(before)
    return results


def pairs(kind: str, cases: list[dict], x: jax.Array) -> Iterator[tuple[jax.Array, jax.Array]]:
    """(by a target, by the xla form) for each target and case."""
    results = programs(kind, cases, x)
    expected = results.pop("xla")
    assert results
    for actual in results.values():
        yield from zip(actual, expected, strict=True)


@every_dtype
@pytest.mark.parametrize("kind", KINDS)
def test_every_sum_of_terms(kind, dtype):
    x = array(dtype, SIZE)
    # The four terms are added in float32, fused or not; |n| is at most 22.2, or 6.67, or 1.
    largest = {"laplace": 22.2, "normal": 6.67, "masked_normal": 6.67}.get(kind, 1)
    bound = 3 * (abs(np.asarray(x, np.float64)) + 1) * largest
    for actual, expected in pairs(kind, [operands(kind, terms, x) for terms in TERMS], x):
        if actual.dtype == jnp.bool_:
            assert_same_bits(actual, expected)
        else:
            assert_within_ulps(actual, expected, bound)


@every_dtype
def test_dropout_is_equal_bit_for_bit(dtype):
    for size in (5, SIZE, 3 * 1024):
        x = array(dtype, size) * 2.0**3
        cases = [operands("keep", "b", x, rate, b=1 / 0.9) for rate in (0.1, 0.5, 1e-5)]
        for actual, expected in pairs("keep", cases, x):
            assert_same_bits(actual, expected)


@every_dtype
def test_what_is_dropped_is_zero_whatever_x_is(dtype):
    x = jnp.tile(jnp.asarray([np.inf, -np.inf, np.nan, -0.0, 1.0, -2.0], dtype), 400)
    cases = [
        operands("keep", "b", x),
        operands("keep", "ad", x),
        operands("keep", "abcd", x, a=0.0, c=0.0),
    ]
    for actual, expected in pairs("keep", cases, x):
        np.testing.assert_array_equal(wide(actual), wide(expected))
    for y, keep in zip(
        *(list(programs("keep", [operands("keep", t, x)], x).values()) for t in ("b", "")),
        strict=True,
    ):
        y, keep = np.asarray(y[0], np.float64), np.asarray(keep[0])
        assert np.all(y[~keep] == 0)
        assert not np.any(np.signbit(y[~keep]))
        assert np.all(np.isnan(y[keep]) == np.isnan(np.asarray(x, np.float64)[keep]))


@every_dtype
@pytest.mark.parametrize("kind", ["keep", "normal", "masked_normal"])
def test_absent_noise_gives_x_bit_for_bit(kind, dtype):
    x = jnp.concatenate([array(dtype, 1100), jnp.asarray([0.0, -0.0, np.inf, -np.inf], dtype)])
    if dtype == jnp.bfloat16:
        nans = np.asarray([0x7FC1, 0xFFC5], np.uint16).view(jnp.bfloat16.dtype)
        x = jnp.concatenate([x, nans])
    terms, values = ("b", {"b": 1.0}) if kind == "keep" else ("ad", {"a": 1.0, "d": 0.0})
    for y, _ in pairs(kind, [operands(kind, terms, x, rate=0.0, **values)], x):
        assert_same_bits(y, x)


@every_dtype
def test_an_offset_of_zero_keeps_the_sign_of_zero(dtype):
    x = jnp.full(1500, -0.0, dtype)
    for y, _ in pairs("masked_normal", [operands("masked_normal", "ad", x, a=1.0)], x):
        noisy = np.asarray(y, np.float64) != 0
        assert 300 < noisy.sum() < 600
        assert np.all(np.signbit(np.asarray(y, np.float64)[~noisy]))


@every_dtype
def test_infinite_and_undefined_coefficients(dtype):
    x = jnp.tile(jnp.asarray([0.0, 1.0, -3.0], dtype), 500)
    values = (np.inf, np.nan, 0.0)
    cases = [operands("keep", terms, x, b=value) for value in values for terms in ("b", "abcd")]
    for actual, expected in pairs("keep", cases, x):
        np.testing.assert_array_equal(wide(actual), wide(expected))


@every_dtype
def test_rounding_is_to_nearest_even_once(dtype):
    mantissas = np.arange(4096) / 4096 + 1
    x = jnp.asarray(np.concatenate([mantissas * 2.0**e for e in (-20, -3, 0, 12)]), dtype)
    factors = (1 / 0.9, 1.5, 1 + 2.0**-8, 1 + 2.0**-11)  # ties among the products
    cases = [operands("keep", "b", x, 1e-3, b=factor) for factor in factors]
    for actual, expected in pairs("keep", cases, x):
        assert_same_bits(actual, expected)
