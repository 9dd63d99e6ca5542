"""Functions with a structured mask equal dropout with a mask shared along the right dimensions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flaxnoise
from cases import KEY, array
from closeness import assert_same_bits
from flaxnoise import testing
from structured_cases import Structured, every_structured

KEYS = jax.random.split(KEY, 3)


@every_structured
def test_function_multiplies_by_the_shared_mask(case: Structured):
    x = array(*case.shape)
    factor = case.factor(KEY)
    assert case.noise_shape != (1,) * len(case.shape) or factor.size == 1
    assert_same_bits(case(KEY, x), jnp.where(factor == 0, 0, x * factor))
    assert_same_bits(jax.jit(case)(KEY, x), case(KEY, x))


@every_structured
def test_traced_rate_gives_the_same_and_is_compiled_once(case: Structured):
    x = array(*case.shape)
    compiled = jax.jit(lambda rate: case(KEY, x, rate))
    for rate in (0.0, 0.3, 0.7, 1.0):
        assert_same_bits(compiled(rate), case(KEY, x, rate))
    assert compiled._cache_size() == 1


@every_structured
def test_ends_are_exact_whatever_x_is(case: Structured):
    odd = jnp.array([jnp.nan, jnp.inf, -jnp.inf, -0.0, 1e-45, 3.0], jnp.float32)
    x = jnp.resize(odd, case.shape)
    assert_same_bits(case(KEY, x, 0.0), x)
    assert_same_bits(case(KEY, x, 1.0), jnp.zeros_like(x))
    gradient = jax.grad(lambda x: case(KEY, x, 1.0).sum())(x)
    assert_same_bits(gradient, jnp.zeros_like(x))


@every_structured
def test_gradient_and_tangent_are_the_mask(case: Structured):
    x, dy = array(*case.shape), array(*case.shape, seed=1)
    expected = jnp.where(case.factor(KEY) == 0, 0, dy * case.factor(KEY))
    assert_same_bits(jax.vjp(lambda x: case(KEY, x), x)[1](dy)[0], expected)
    assert_same_bits(jax.jvp(lambda x: case(KEY, x), (x,), (dy,))[1], expected)


@every_structured
def test_vmap_and_scan_over_keys_equal_the_loop(case: Structured):
    xs = array(3, *case.shape)
    loop = jnp.stack([case(key, x) for key, x in zip(KEYS, xs, strict=True)])
    assert_same_bits(jax.vmap(case)(KEYS, xs), loop)
    assert_same_bits(jax.lax.scan(lambda _, s: (None, case(*s)), None, (KEYS, xs))[1], loop)


@every_structured
def test_nothing_random_is_kept_for_the_backward_pass(case: Structured):
    testing.assert_no_noise_residuals(case, KEY, array(*case.shape), 0.3)


@every_structured
def test_narrow_floats_are_rounded_once(case: Structured):
    x = array(*case.shape, dtype=jnp.bfloat16)
    factor = np.asarray(case.factor(KEY))
    exact = np.where(factor == 0, np.float32(0), np.asarray(x, np.float32) * factor)
    assert_same_bits(case(KEY, x), jnp.asarray(exact).astype(jnp.bfloat16))


@every_structured
def test_mistakes_are_named(case: Structured):
    x, name = array(*case.shape), case.function.__name__
    with pytest.raises(ValueError, match=rf"{name}: rate must be in \[0, 1\], got 1.5"):
        case(KEY, x, 1.5)
    with pytest.raises(TypeError, match=rf"{name}: (x|weights) must be floating|{name}: x must be"):
        case(KEY, jnp.ones(case.shape, jnp.int32))
    with pytest.raises(TypeError, match=f"{name}: key is missing"):
        case(None, x)
    with pytest.raises(ValueError, match=f"{name}: key must be a single key"):
        case(KEYS, x)
    if case.least:
        with pytest.raises(ValueError, match=f"{name}: \\w+ must have at least {case.least} dim"):
            case(KEY, jnp.ones((1,) * (case.least - 1)))


def test_mode_of_drop_path_is_checked():
    with pytest.raises(ValueError, match=r"drop_path: mode must be 'row' or 'batch', got 'rows'"):
        flaxnoise.drop_path(KEY, array(5, 3), 0.3, mode="rows")
