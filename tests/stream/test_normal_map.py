"""The map from two words to a normal is accurate, finite and never 0, for extreme words too."""

import jax
import numpy as np

import reference
from flaxnoise.stream import variates

LARGEST = np.sqrt(2 * 32 * np.log(2))  # u = 2^-32
# The constant −2 ln 2 in its square is rounded, an error that the root halves; so is the root.
ROUNDINGS_OF_LARGEST = 1.5 * 2.0**-24
POWERS = [(1 << k) + step for k in range(32) for step in (-2, -1, 0, 1, 2)]
# Where the mantissa of the logarithm wraps around, √½·2^k, and where u is clamped below 1.
TURNS = [int(2**31.5 / 2**k) + step for k in range(8) for step in (-512, -3, -1, 0, 1, 3, 512)]
TOP = [(1 << 32) - step for step in (1, 2, 3, 4, 128, 255, 256, 257, 383, 384, 385, 512)]
DIRECTED = np.array(sorted({w for w in POWERS + TURNS + TOP if 0 <= w < 1 << 32}), np.uint32)


def pairs() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    a, b = (grid.ravel() for grid in np.meshgrid(DIRECTED, DIRECTED))
    others = rng.integers(0, 2**32, (2, 1 << 20), np.uint32)
    return np.concatenate([a, others[0]]), np.concatenate([b, others[1]])


def normals(a: np.ndarray, b: np.ndarray) -> list[np.ndarray]:
    function = jax.jit(variates.normal)
    return [np.asarray(function(a, b, np.full(a.shape, odd))) for odd in (False, True)]


def test_normal_of_any_two_words_is_within_four_ulp_of_float64():
    a, b = pairs()
    for drawn, exact in zip(normals(a, b), reference.normal_pair(a, b), strict=True):
        error = np.abs(drawn - exact) / np.spacing(np.abs(exact).astype(np.float32))
        assert error.max() <= 4


def test_normal_is_never_0_nor_infinite_nor_nan():
    for drawn in normals(*pairs()):
        assert drawn.dtype == np.float32
        assert np.all(np.isfinite(drawn))
        assert np.all(drawn != 0)
        assert np.abs(drawn).max() <= LARGEST * (1 + ROUNDINGS_OF_LARGEST)


def test_the_largest_normal_is_reached_in_every_direction():
    """Word 0 gives the largest radius; at an angle next to 0 one normal of the pair reaches it."""
    straight = np.arange(4, dtype=np.uint32)
    even, odd = normals(np.zeros(4, np.uint32), straight)
    found = np.where(straight & 2, odd, even) / LARGEST
    np.testing.assert_allclose(found, [1, -1, 1, -1], rtol=ROUNDINGS_OF_LARGEST)


def test_the_two_normals_of_a_pair_have_the_radius_of_the_first_word():
    a, b = pairs()
    even, odd = (drawn.astype(np.float64) for drawn in normals(a, b))
    exact = np.hypot(*reference.normal_pair(a, b))
    # In units of 2^-24: the fit of the logarithm, 1.6, and 3 roundings, halved by the root; one
    # rounding of the root; the fit of the direction, 0.6, and 2 roundings; one of the product.
    rtol = ((1.6 + 3) / 2 + 1 + 0.6 + 2 + 1) * 2.0**-24
    np.testing.assert_allclose(np.hypot(even, odd), exact, rtol=rtol)


def test_uniforms_exclude_both_ends_by_half_a_step():
    words = np.array([0, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF], np.uint32)
    half = 2.0**-24
    assert variates.uniform(words).tolist() == [half, 1 - half, -1 + half, -half]
    assert variates.unit_uniform(words[[0, 3]]).tolist() == [half, 1 - half]
