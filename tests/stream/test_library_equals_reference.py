"""The library draws what the NumPy reference draws, for every key, shape and rate."""

import math

import jax
import jax.numpy as jnp
import numpy as np

import reference
from every import every
from flaxnoise import random

SHAPES = [(), (1,), (7,), (1023,), (1024,), (1025,), (33, 129), (3, 0, 5)]
RATES = [0, 1, 2**-16, 1 - 2**-16, 2**-31, 1e-40, 0.1, 0.3, 0.5, 0.9, 0.999, 0.9995, 1 - 2**-24]
IMPLEMENTATIONS = [
    "threefry2x32",
    "threefry4x32",
    "philox2x32",
    "philox4x32",
    "rbg",
    "unsafe_rbg",
]
KEYS = {name: jax.random.key(5, impl=name) for name in IMPLEMENTATIONS}
KEYS |= {
    f"raw {name}": key for name, key in [("two", jnp.uint32([3, 8])), ("one", jnp.uint32([9]))]
}
KEY = KEYS["threefry4x32"]


def expected(kind: str, key: jax.Array, shape: tuple[int, ...], *rate: float) -> np.ndarray:
    i = np.arange(math.prod(shape), dtype=np.uint64)
    return getattr(reference, kind)(reference.key_words(key), i, *rate).reshape(shape)


def ulps(actual: jax.Array, exact: np.ndarray) -> float:
    assert actual.shape == exact.shape
    spacing = np.spacing(np.abs(exact).astype(np.float32))
    return float(np.max(np.abs(np.asarray(actual, np.float64) - exact) / spacing, initial=0))


@every("shape", SHAPES)
def test_every_kind_is_equal_on_every_shape(shape):
    bits, uniform = random.bits(KEY, shape), random.uniform(KEY, shape)
    assert (bits.dtype, uniform.dtype) == (jnp.uint32, jnp.float32)
    np.testing.assert_array_equal(bits, expected("bits", KEY, shape))
    np.testing.assert_array_equal(uniform, expected("unit_uniform", KEY, shape))
    for kind in ("normal", "laplace"):
        assert ulps(getattr(random, kind)(KEY, shape), expected(kind, KEY, shape)) <= 4
    draw = jax.jit(lambda rate: random.keep_mask(KEY, shape, rate))
    for rate in RATES:
        mask = draw(rate)
        assert mask.dtype == jnp.bool_
        np.testing.assert_array_equal(mask, expected("keep", KEY, shape, rate))


@every("rate", RATES)
def test_masks_of_static_rates_are_equal(rate):
    mask = random.keep_mask(KEY, (33, 129), rate)
    np.testing.assert_array_equal(mask, expected("keep", KEY, (33, 129), rate))


@every("key", KEYS.values(), ids=KEYS)
def test_every_kind_of_key_is_used_whole(key):
    shape = (11, 97)
    np.testing.assert_array_equal(random.bits(key, shape), expected("bits", key, shape))
    np.testing.assert_array_equal(random.uniform(key, shape), expected("unit_uniform", key, shape))
    mask = random.keep_mask(key, shape, 0.3)
    np.testing.assert_array_equal(mask, expected("keep", key, shape, 0.3))
    for kind in ("normal", "laplace"):
        assert ulps(getattr(random, kind)(key, shape), expected(kind, key, shape)) <= 4


@every("dtype", [jnp.bfloat16, jnp.float16])
@every(("draw", "kind"), [(random.normal, "normal"), (random.uniform, "unit_uniform")])
def test_narrow_dtypes_round_the_same_noise_once(dtype, draw, kind):
    shape = (33, 129)
    exact = expected(kind, KEY, shape).astype(np.float64)
    drawn = draw(KEY, shape, dtype)
    assert drawn.dtype == dtype
    info = jnp.finfo(dtype)
    binade = np.maximum(2.0 ** np.floor(np.log2(np.abs(exact))), float(info.tiny))
    error = np.abs(np.asarray(drawn, np.float64) - exact) / (binade * float(info.eps))
    # Half an ulp of the narrow dtype, and four of float32, which may change a rounding near a tie.
    assert error.max() < 0.501
