"""Every SIMD target draws the stream: words, masks and uniforms exactly, normals within ulps."""

import math
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import reference
from flaxnoise import backend, backends, random
from flaxnoise.backends import cpu, cpu_library
from flaxnoise.stream import philox
from flaxnoise.stream.kinds import KINDS

KEY = jax.random.key(5, impl="threefry4x32")
SHAPES = [(), (1,), (7,), (511,), (512,), (513,), (1023,), (1024,), (1025,), (33, 129), (2, 0, 5)]
SHAPES.append((129, 1027))  # of more than two tasks, which several threads take
# No ties, ties with the partner's bits, both ends of the thresholds that are not constant.
RATES = [0, 1, 0.3, 0.9, 2**-16, 1 - 2**-16, 1e-5, 2**-31, 1 - 2**-24]

CPP = Path(cpu.__file__).with_name("cpp")


@pytest.fixture(autouse=True)
def _kernel(simd: str):
    with backend("cpu"):
        yield


def indices(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(math.prod(shape), dtype=np.uint64).reshape(shape)


def ulps(actual: jax.Array, exact: np.ndarray) -> float:
    spacing = np.spacing(np.abs(exact).astype(np.float32))
    return float(np.max(np.abs(np.asarray(actual, np.float64) - exact) / spacing, initial=0))


@pytest.mark.parametrize("shape", SHAPES)
def test_words_and_uniforms_are_equal_on_every_shape(shape):
    words, i = reference.key_words(KEY), indices(shape)
    np.testing.assert_array_equal(random.bits(KEY, shape), reference.bits(words, i))
    uniform = random.uniform(KEY, shape)
    np.testing.assert_array_equal(uniform, reference.unit_uniform(words, i))
    signed = random.signed_uniform(KEY, shape)
    np.testing.assert_array_equal(signed, reference.uniform(words, i))


@pytest.mark.parametrize("rate", RATES)
def test_masks_are_equal_at_every_rate(rate):
    shape = (5, 1537)
    expected = reference.keep(reference.key_words(KEY), indices(shape), rate)
    np.testing.assert_array_equal(random.keep_mask(KEY, shape, rate), expected)


@pytest.mark.parametrize("shape", SHAPES)
def test_masks_are_equal_on_every_shape(shape):
    expected = reference.keep(reference.key_words(KEY), indices(shape), 0.3)
    np.testing.assert_array_equal(random.keep_mask(KEY, shape, 0.3), expected)


def test_a_rate_of_its_own_for_each_column_draws_the_same_mask():
    rates = np.float32([0, 0.3, 1e-5, 0.999, 1, 0.5, 0.7])
    mask = random.keep_mask(KEY, (301, 7), rates)
    words, i = reference.key_words(KEY), indices((301, 7))
    for column, rate in enumerate(rates):
        expected = reference.keep(words, i[:, column], rate)
        np.testing.assert_array_equal(mask[:, column], expected)


# 4 ulp of float64 is the bound of the map itself, see stream/test_normal_map.py.
@pytest.mark.parametrize("shape", SHAPES)
def test_normals_are_within_four_ulp_on_every_shape(shape):
    exact = reference.normal(reference.key_words(KEY), indices(shape))
    assert ulps(random.normal(KEY, shape), exact) <= 4


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float64])
def test_other_dtypes_round_the_same_uniforms_once(dtype):
    with jax.enable_x64(True):
        drawn = random.uniform(KEY, (33, 129), dtype)
        assert drawn.dtype == dtype
        expected = reference.unit_uniform(reference.key_words(KEY), indices((33, 129)))
        np.testing.assert_array_equal(drawn, np.asarray(jnp.asarray(expected).astype(dtype)))


def test_constants_are_those_of_the_library():
    found = dict(re.findall(r"constexpr \w+ (\w+) = (\w+);", (CPP / "stream.h").read_text()))
    names = [name for name in vars(philox) if name.startswith(("PHILOX", "ROUNDS"))]
    assert len(names) >= 5
    assert {name: int(found[name], 0) for name in names} == {n: vars(philox)[n] for n in names}


def test_kinds_are_those_of_the_library():
    assert cpu_library.kinds() == {name: row.domain for name, row in KINDS.items()}


def test_the_kernel_is_here():
    assert backends()["cpu"] == "available"
