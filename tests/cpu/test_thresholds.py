"""Thresholds 0 and 2^31 keep all and none, on every path of the kernel and every SIMD target."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flaxnoise
from every import every
from flaxnoise.affine import affine

KEY = jnp.uint32([3, 1, 4, 1])
EVERY = 1 << 31
ROWS, COLUMNS = 3, 1024 + 517  # whole chunks and a ragged remainder
DTYPES = [jnp.float32, jnp.bfloat16, jnp.float16, jnp.float64]


def draw(kind: str, threshold: int, dtype: jnp.dtype, *shape: int, **operands) -> jax.Array:
    """Calls the primitive with a scalar threshold, or an array of the given shape."""
    drop = jnp.full(shape or (1, 1), threshold, jnp.uint32)
    given = {"key": KEY, "threshold": drop, **operands}
    return affine(given, kind=kind, shape=(ROWS, COLUMNS), dtype=dtype, backend="cpu")


def full(value: float, dtype: jnp.dtype, *shape: int) -> jax.Array:
    precision = jnp.float64 if dtype == jnp.float64 else jnp.float32
    return jnp.full(shape or (1, 1), value, precision)


@pytest.mark.usefixtures("simd")
@every("threshold", [0, EVERY])
def test_masks_and_dropout(threshold: int):
    kept = threshold == 0

    @jax.jit
    def values() -> list[jax.Array]:
        found = [draw("keep", threshold, jnp.bool_)]
        found += [draw("keep", threshold, jnp.bool_, ROWS, COLUMNS)]
        for dtype in DTYPES:
            x = jnp.ones((ROWS, COLUMNS), dtype)
            for scale in (full(1, dtype), full(1, dtype, 1, COLUMNS), full(1, dtype, ROWS, 1)):
                found.append(draw("keep", threshold, dtype, x=x, b=scale))
            found.append(draw("keep", threshold, dtype, 1, COLUMNS, x=x, b=full(1, dtype)))
            found.append(draw("keep", threshold, dtype, d=full(1, dtype)))
        return found

    with jax.enable_x64(True):
        for value in values():
            assert np.all(np.asarray(value, np.float64) == kept)


@pytest.mark.usefixtures("simd")
def test_masked_normals():
    """At threshold 0 all are zero; at 2^31 they are the normals of the key."""

    @jax.jit
    def values(threshold: jax.Array) -> list[jax.Array]:
        found = []
        for dtype in DTYPES:
            x = jnp.zeros((ROWS, COLUMNS), dtype)
            one, ones = full(1, dtype), full(1, dtype, 1, COLUMNS)
            normal = affine({"key": KEY}, kind="normal", shape=x.shape, dtype=dtype, backend="cpu")
            found.append(
                (
                    normal,
                    [
                        draw("masked_normal", threshold, dtype),
                        draw("masked_normal", threshold, dtype, 1, COLUMNS),
                        draw("masked_normal", threshold, dtype, x=x, a=one, d=one),
                        draw("masked_normal", threshold, dtype, x=x, a=one, d=ones),
                        draw("masked_normal", threshold, dtype, x=x, a=ones, d=ones),
                        draw("masked_normal", threshold, dtype, ROWS, 1, x=x, a=one, d=one),
                    ],
                )
            )
        return found

    with jax.enable_x64(True):
        for normal, drawn in values(EVERY):
            for value in drawn:
                assert np.array_equal(np.asarray(value), np.asarray(normal))
        for _, drawn in values(0):
            assert not any(np.any(np.asarray(value) != 0) for value in drawn)


@pytest.mark.usefixtures("simd")
@every("traced", [False, True])
def test_masked_gaussian_noise_at_rate_1(traced: bool):
    """It equals gaussian_noise for a scalar stddev, one per feature, and shared noise."""
    key, x = jax.random.key(3), jnp.ones((4, 40))

    def both(rate, stddev, dims):
        masked = flaxnoise.masked_gaussian_noise(key, x, rate, stddev, broadcast_dims=dims)
        return masked, flaxnoise.gaussian_noise(key, x, stddev, broadcast_dims=dims)

    for stddev, dims in ((0.5, ()), (jnp.full((40,), 0.5), ()), (0.5, (0,))):
        run = jax.jit(both, static_argnums=(2,) if traced else (0, 2))
        masked, plain = run(1.0, stddev, dims)
        assert not np.array_equal(plain, x)
        np.testing.assert_array_max_ulp(np.asarray(masked), np.asarray(plain), maxulp=4)
    slope = jax.grad(lambda s: flaxnoise.masked_gaussian_noise(key, x, 1.0, s).sum())(0.5)
    n = np.asarray(flaxnoise.random.normal(key, x.shape), np.float64)
    # A float32 sum of n.size terms in any order, of normals that may be 8 ulp off.
    assert abs(slope - n.sum()) <= (n.size + 16) * 2.0**-24 * abs(n).sum()
