"""The primitive itself: every subset of the formula's terms, for every noise, and exact zeros."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import reference
from cases import KEY, array
from closeness import NOISE_ULPS, assert_same_bits, assert_within_ulps
from flaxnoise.affine import affine
from flaxnoise.arguments import key_words

X = array(3, 33)
SUBSETS = [names for count in range(5) for names in itertools.combinations("abcd", count)]
KINDS = ["keep", "normal", "masked_normal", "uniform", "laplace"]
THRESHOLD = jnp.array([[reference.threshold(0.3)]], jnp.uint32)
INDEX, WORDS = np.arange(99, dtype=np.uint64).reshape(3, 33), reference.key_words(KEY)
NOISE = {
    "keep": reference.keep(WORDS, INDEX, 0.3),
    "normal": reference.normal(WORDS, INDEX),
    "masked_normal": reference.masked_normal(WORDS, INDEX, 0.3),
    "uniform": reference.uniform(WORDS, INDEX),
    "laplace": reference.laplace(WORDS, INDEX),
}


def call(kind: str, x: jax.Array, coefficients: dict[str, jax.Array]) -> jax.Array:
    operands = {"key": key_words(KEY), "x": x, **coefficients}
    if kind in ("keep", "masked_normal"):
        operands["threshold"] = THRESHOLD
    if not coefficients:
        del operands["x"]  # y = n
    return affine(operands, kind=kind, shape=X.shape, dtype=x.dtype)


def values(names: tuple[str, ...]) -> dict[str, jax.Array]:
    """A number, a row, a column or a whole array for each coefficient."""
    shapes = {"a": (1, 33), "b": (3, 1), "c": (3, 33), "d": (1, 1)}
    return {name: array(*shapes[name], seed=ord(name)) for name in names}


def formula(kind: str, x: np.ndarray, coefficients: dict[str, np.ndarray]) -> np.ndarray:
    """In float64."""
    n = np.asarray(NOISE[kind], np.float64)
    if not coefficients:
        return n
    a, b, c, d = (np.asarray(coefficients.get(name, 0), np.float64) for name in "abcd")
    return x * (a + b * n) + (c + d * n)


@pytest.mark.parametrize("names", SUBSETS, ids=lambda names: "".join(names) or "none")
@pytest.mark.parametrize("kind", KINDS)
def test_every_subset_of_the_terms(kind: str, names: tuple[str, ...]):
    coefficients = values(names)
    y = np.asarray(jax.jit(call, static_argnums=0)(kind, X, coefficients), np.float64)
    expected = formula(kind, np.asarray(X, np.float64), coefficients)
    n = abs(np.asarray(NOISE[kind], np.float64))
    sizes = {name: abs(np.asarray(value, np.float64)) for name, value in coefficients.items()}
    terms = np.broadcast_to(formula_of_sizes(n, sizes), y.shape)
    # The noise is off by its ulps, and each of the formula's operations is rounded once.
    assert np.all(abs(y - expected) <= (NOISE_ULPS + 5) * 2.0**-23 * terms)


def formula_of_sizes(n: np.ndarray, sizes: dict[str, np.ndarray]) -> np.ndarray:
    a, b, c, d = (sizes.get(name, 0) for name in "abcd")
    return n if not sizes else abs(np.asarray(X, np.float64)) * (a + b * n) + (c + d * n)


@pytest.mark.parametrize("x", [np.inf, np.nan, -1.0])
@pytest.mark.parametrize("kind", KINDS)
def test_a_factor_of_exactly_0_drops_x(kind: str, x: float):
    """Whatever x is: y = c + d·n, as if there were no x."""
    full = jnp.full(X.shape, x)
    rest = values(("c", "d"))
    zeros = {"a": jnp.zeros((1, 1)), "b": jnp.zeros((1, 33))}
    y = jax.jit(call, static_argnums=0)(kind, full, {**zeros, **rest})
    without = jax.jit(call, static_argnums=0)(kind, full, rest)
    assert_within_ulps(y, without, abs(rest["c"]) + 7 * abs(rest["d"]))
    assert_same_bits(jax.jit(call, static_argnums=0)(kind, full, zeros), jnp.zeros_like(full))


@pytest.mark.parametrize("kind", KINDS)
def test_a_factor_of_1_and_an_offset_of_0_are_the_identity(kind: str):
    x = jnp.asarray(np.resize([0.0, -0.0, 1e-45, np.inf, np.nan, 1.5], X.shape), jnp.float32)
    ones = {"a": jnp.ones((1, 1)), "b": jnp.zeros((1, 1))}
    zeros = {"c": jnp.zeros((1, 1)), "d": jnp.zeros((3, 1))}
    assert_same_bits(jax.jit(call, static_argnums=0)(kind, x, {**ones, **zeros}), x)


@pytest.mark.parametrize("kind", KINDS)
def test_terms_without_noise_have_the_batch_of_the_keys(kind: str):
    keys = jax.random.split(KEY, 4)
    operands = {"x": X, "a": jnp.full((1, 1), 2.0), "threshold": THRESHOLD}

    def one(key: jax.Array) -> jax.Array:
        return affine({"key": key_words(key), **operands}, kind=kind, shape=X.shape, dtype=X.dtype)

    y = jax.jit(jax.vmap(one))(keys)
    assert_same_bits(y, jnp.stack([2 * X] * 4))


def test_dimensions_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"^flaxnoise: dimensions .* do not fit each other\."):
        call("normal", X, {"b": jnp.ones((1, 7))})
