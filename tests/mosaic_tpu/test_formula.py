"""y = x·(a + b·n) + (c + d·n) in the kernel: terms, dtypes, batches, and exact ends."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import reference
from closeness import assert_same_bits, assert_within_ulps
from flaxnoise.backends import xla
from interpreted_tpu import drawn

WORDS = (1, 2, 3, 4)
SHAPE = (65, 128)
I = np.arange(65 * 128, dtype=np.uint64).reshape(SHAPE)  # noqa: E741
T = jnp.full((1, 1), reference.threshold(0.3), jnp.uint32)
KEY = {"key": jnp.asarray(WORDS, jnp.uint32)}
TERMS = {"a": 0.7, "b": -1.3, "c": 0.4, "d": 2.1}
DTYPES = [jnp.float32, jnp.bfloat16, jnp.float16]


def numbers(**terms: float) -> dict[str, jax.Array]:
    return {name: jnp.full((1, 1), value, jnp.float32) for name, value in terms.items()}


def array(*shape: int, dtype: jax.typing.DTypeLike = jnp.float32) -> jax.Array:
    return jnp.asarray(np.random.default_rng(1).normal(size=shape), dtype)


def both(operands: dict, **params: object) -> tuple[np.ndarray, np.ndarray]:
    """The kernel's result and that of the xla form."""
    expected = jax.jit(lambda operands: xla.affine(operands, global_shape=None, **params))
    return drawn(operands, **params), np.asarray(expected(operands))


@pytest.mark.parametrize("shape", [SHAPE, (130, 512)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_all_terms_of_a_mask(dtype: jax.typing.DTypeLike, shape: tuple[int, ...]):
    x = array(*shape, dtype=dtype)
    operands = {**KEY, "threshold": T, "x": x, **numbers(**TERMS)}
    y, expected = both(operands, kind="keep", shape=shape, dtype=dtype)
    # One multiplication and one addition, which XLA on CPU fuses in one program and not in another.
    assert_within_ulps(y, expected, abs(np.asarray(x, np.float64)) + 3, ulps=1)


@pytest.mark.parametrize("kind", ["normal", "laplace", "masked_normal"])
def test_all_terms_of_numbers(kind: str):
    x = array(*SHAPE, dtype=jnp.bfloat16)
    operands = {**KEY, "x": x, **numbers(**TERMS)}
    if kind == "masked_normal":
        operands["threshold"] = T
    y, expected = both(operands, kind=kind, shape=SHAPE, dtype=jnp.bfloat16)
    terms = 20 * (abs(np.asarray(x, np.float64)) + 1)  # |n| is below 20 here
    assert_within_ulps(y, expected, terms)


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_kept_at_rate_0_is_x_itself(dtype: jax.typing.DTypeLike):
    x = array(*SHAPE, dtype=dtype).at[3, 5].set(jnp.inf).at[2, 7].set(-0.0)
    operands = {**KEY, "threshold": jnp.zeros((1, 1), jnp.uint32), "x": x, **numbers(b=1.0)}
    y = drawn(operands, kind="keep", shape=SHAPE, dtype=dtype)
    assert_same_bits(y, x)


def test_nothing_of_x_is_left_at_rate_1():
    x = array(*SHAPE).at[3, 5].set(jnp.inf).at[2, 7].set(jnp.nan)
    none = jnp.full((1, 1), 1 << 31, jnp.uint32)
    operands = {**KEY, "threshold": none, "x": x, **numbers(b=0.0)}
    y = drawn(operands, kind="keep", shape=SHAPE, dtype=x.dtype)
    assert_same_bits(y, np.zeros(SHAPE, np.float32))


def test_an_operand_for_each_example():
    """Keys, thresholds and coefficients; x is one for all of them."""
    batch = 3
    keys = jnp.arange(4 * batch, dtype=jnp.uint32).reshape(batch, 1, 4)
    rates = (0.1, 0.5, 0.8)
    thresholds = jnp.array([reference.threshold(rate) for rate in rates], jnp.uint32)
    scales = jnp.array([1.5, 2.5, 3.5])
    operands = {
        "key": keys,
        "threshold": thresholds.reshape(batch, 1, 1, 1),
        "x": array(1, 1, *SHAPE),
        "b": scales.reshape(batch, 1, 1, 1),
    }
    y = drawn(operands, kind="keep", shape=SHAPE, dtype=jnp.float32)
    for example in range(batch):
        key = tuple(map(int, keys[example, 0]))
        kept = reference.keep(key, I, rates[example])
        expected = np.where(kept, operands["x"][0, 0] * scales[example], np.float32(0))
        np.testing.assert_array_equal(y[example, 0], expected)


@pytest.mark.parametrize("name", ["x", "b"])
def test_what_is_broadcast_otherwise(name: str):
    """One x, or one scale, for each column: the kernel draws n, the rest is XLA's."""
    values = {"x": array(*SHAPE), "b": numbers(b=1.5)["b"], name: array(1, SHAPE[1])}
    operands = {**KEY, "threshold": T, **values}
    y = drawn(operands, kind="keep", shape=SHAPE, dtype=jnp.float32)
    kept = reference.keep(WORDS, I, 0.3)
    np.testing.assert_array_equal(y, np.where(kept, values["x"] * values["b"], np.float32(0)))


def test_no_elements():
    operands = {**KEY, "threshold": T, "x": jnp.zeros((0, 128)), **numbers(b=1.5)}
    assert drawn(operands, kind="keep", shape=(0, 128), dtype=jnp.float32).shape == (0, 128)
