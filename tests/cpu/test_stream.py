"""Every SIMD target draws the stream: words, masks and uniforms exactly, normals in ulps."""

import functools
import math
import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import reference
from flaxnoise import backend, backends, random
from flaxnoise.affine import affine
from flaxnoise.backends import cpu
from flaxnoise.backends.cpu import library as cpu_library
from flaxnoise.stream import philox
from flaxnoise.stream.kinds import KINDS

KEY = jax.random.key(5, impl="threefry4x32")
SHAPES = [(), (1,), (7,), (511,), (512,), (513,), (1023,), (1024,), (1025,), (33, 129), (2, 0, 5)]
SHAPES.append((129, 1027))  # more than two tasks, so several threads run
# Thresholds decided by the upper 16 bits, by the partner's bits too, and both extreme ones.
RATES = [0, 1, 0.3, 0.9, 2**-16, 1 - 2**-16, 1e-5, 2**-31, 1 - 2**-24]
CPP = Path(cpu.__file__).with_name("cpp")


@functools.cache
def compiled() -> dict[tuple[int, ...], Any]:
    """Compiles words, uniforms, normals and a mask for each shape, once for all targets."""

    def draw(shape: tuple[int, ...], rate: jax.Array) -> list[jax.Array]:
        kinds = (random.bits, random.uniform, random.signed_uniform, random.normal)
        return [*(kind(KEY, shape) for kind in kinds), random.keep_mask(KEY, shape, rate)]

    with backend("cpu"):
        return {
            shape: jax.jit(draw, static_argnums=0).lower(shape, 0.3).compile() for shape in SHAPES
        }


def indices(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(math.prod(shape), dtype=np.uint64).reshape(shape)


@pytest.mark.usefixtures("simd")
def test_the_noise_is_the_references_on_every_shape():
    words = reference.key_words(KEY)
    for shape, program in compiled().items():
        bits, uniform, signed, normal, mask = program(np.float32(0.3))
        i = indices(shape)
        np.testing.assert_array_equal(bits, reference.bits(words, i))
        np.testing.assert_array_equal(uniform, reference.unit_uniform(words, i))
        np.testing.assert_array_equal(signed, reference.uniform(words, i))
        np.testing.assert_array_equal(mask, reference.keep(words, i, 0.3))
        # 4 ulp of float64 is the bound of the map itself, see stream/test_normal_map.py.
        exact = reference.normal(words, i)
        assert np.all(abs(normal - exact) <= 4 * np.spacing(np.float32(abs(exact))))


@pytest.mark.usefixtures("simd")
def test_masks_are_equal_at_every_rate():
    shape = (129, 1027)
    words, i = reference.key_words(KEY), indices(shape)
    for rate in RATES:
        mask = compiled()[shape](np.float32(rate))[-1]
        np.testing.assert_array_equal(mask, reference.keep(words, i, rate))


@pytest.mark.usefixtures("simd")
def test_boxes_put_together_are_the_whole():
    def box(shape: tuple[int, ...], start: int) -> jax.Array:
        first = {"key": jnp.uint32([3, 5, 7, 11]), "start": jnp.uint32([start, 0])}
        params = {"kind": "bits", "dtype": jnp.uint32, "backend": "cpu"}
        return affine(first, shape=shape, global_shape=(6, 2050), **params)

    rows = [[box((3, 1025), 3 * i * 2050 + 1025 * j) for j in (0, 1)] for i in (0, 1)]
    np.testing.assert_array_equal(np.block(rows), box((6, 2050), 0))


def test_constants_are_those_of_the_library():
    found = dict(re.findall(r"constexpr \w+ (\w+) = (\w+);", (CPP / "stream.h").read_text()))
    names = [name for name in vars(philox) if name.startswith(("PHILOX", "ROUNDS"))]
    assert len(names) >= 5
    assert {name: int(found[name], 0) for name in names} == {n: vars(philox)[n] for n in names}


def test_kinds_of_the_library_are_rows_of_the_table():
    """The converse need not hold: a new kind may lack C++, and is then refused."""
    found = cpu_library.kinds()
    assert len(found) >= 8
    assert found.items() <= {name: row.domain for name, row in KINDS.items()}.items()


def test_the_kernel_is_here():
    assert backends()["cpu"] == "available"
