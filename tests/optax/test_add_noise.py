"""flaxnoise.optax.add_noise: optax's gradient transformation with the noise of flaxnoise."""

import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import flaxnoise
from cases import KEY, array
from closeness import NOISE_ULPS, assert_within_ulps
from every import every
from flaxnoise.backends import cpu
from flaxnoise.optax import AddNoiseState, add_noise
from meshes import available

ETA, GAMMA, LARGEST_NORMAL = 0.01, 0.55, 6.67
UPDATES = {"bias": array(129), "kernel": array(33, 129, seed=1), "scale": jnp.float32(1.5)}


def noisy(updates, step: int):
    """Adds the documented noise, leaf by leaf."""
    leaves, tree = jax.tree.flatten(updates)
    key, stddev = jax.random.fold_in(KEY, step), math.sqrt(ETA / (1 + step) ** GAMMA)
    return tree.unflatten(
        [
            flaxnoise.gaussian_noise(jax.random.fold_in(key, i), leaf, stddev)
            for i, leaf in enumerate(leaves)
        ]
    )


def assert_close(one, other) -> None:
    """Allows 8 ulp for the noise, and 8 more for its standard deviation, computed in float32."""
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        terms = np.abs(b) + LARGEST_NORMAL * math.sqrt(ETA)
        assert_within_ulps(a, b, terms, ulps=2 * NOISE_ULPS)


def run(transformation, updates, steps: int = 3):
    """Returns the updates of each jitted step."""
    state, step = transformation.init(updates), jax.jit(transformation.update)
    given = []
    for _ in range(steps):
        y, state = step(updates, state, updates)
        given.append(y)
    return given, state


def test_each_leaf_of_each_step_has_the_documented_noise():
    given, state = run(add_noise(ETA, GAMMA, KEY), UPDATES)
    for step, y in enumerate(given):
        assert_close(y, noisy(UPDATES, step))
    assert isinstance(state, AddNoiseState)
    assert int(state.count) == 3
    assert state.key is KEY or (jax.random.key_data(state.key) == jax.random.key_data(KEY)).all()


def test_the_scale_is_that_of_optax():
    """The ratio to the noise at γ = 0, η = 1 is the same as in optax."""
    zeros = jnp.zeros(1000)
    ours, theirs = (
        [
            np.linalg.norm(y) / np.linalg.norm(unit)
            for y, unit in zip(
                run(make(ETA, GAMMA, KEY), zeros)[0],
                run(make(1.0, 0.0, KEY), zeros)[0],
                strict=True,
            )
        ]
        for make in (add_noise, optax.add_noise)
    )
    # 84 ulp of float32: 16 of each element, and the roundings of two norms and a quotient.
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_leaves_and_steps_share_no_noise():
    given, _ = run(add_noise(1.0, 0.0, KEY), {"a": jnp.zeros(4096), "b": jnp.zeros(4096)}, 2)
    noises = [leaf for tree in given for leaf in jax.tree.leaves(tree)]
    correlations = np.corrcoef(np.stack(noises)) - np.eye(4)
    assert np.abs(correlations).max() < 6 / math.sqrt(4096)


def test_short_dtypes_stay_and_no_noise_is_no_change():
    short = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), UPDATES)
    (y, *_), _ = run(add_noise(ETA, GAMMA, KEY), short)
    assert {leaf.dtype for leaf in jax.tree.leaves(y)} == {jnp.dtype(jnp.bfloat16)}
    (same, *_), _ = run(add_noise(0.0, GAMMA, KEY), UPDATES)
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), same, UPDATES))


def test_in_a_chain_and_masked():
    """Masked leaves are not counted."""
    mask = {"bias": False, "kernel": True, "scale": True}
    chain = optax.chain(optax.masked(add_noise(ETA, GAMMA, KEY), mask), optax.scale(-1.0))
    (y, *_), _ = run(chain, UPDATES)
    chosen = noisy({name: UPDATES[name] for name in ("kernel", "scale")}, 0)
    expected = {"bias": UPDATES["bias"], **chosen}
    assert_close(jax.tree.map(jnp.negative, y), expected)


def test_in_multi_steps():
    steps = optax.MultiSteps(add_noise(ETA, GAMMA, KEY), every_k_schedule=2)
    given, _ = run(steps.gradient_transformation(), UPDATES, 4)
    assert not jax.tree.reduce(lambda found, leaf: found | bool(leaf.any()), given[0], False)
    assert_close(given[1], noisy(UPDATES, 0))
    assert_close(given[3], noisy(UPDATES, 1))


def test_with_injected_hyperparameters():
    """Hyperparameters become traced arrays in the state; a schedule gives one per step."""
    make = optax.inject_hyperparams(add_noise)
    given, state = run(make(ETA, GAMMA, KEY), UPDATES)
    assert_close(given[2], noisy(UPDATES, 2))
    assert float(state.hyperparams["eta"]) == np.float32(ETA)
    scheduled, _ = run(make(lambda count: ETA * (count < 1), GAMMA, KEY), UPDATES, 2)
    assert_close(scheduled[0], noisy(UPDATES, 0))
    assert_close(scheduled[1], UPDATES)


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit], ids=["auto", "explicit"])
@every("spec", [P("a"), P(None, "b"), P("b", "a")], ids=str)
def test_sharded_updates_get_the_same_noise(kind: AxisType, spec: P):
    x, transformation = array(32, 64), add_noise(ETA, GAMMA, KEY)
    expected, _ = transformation.update(x, transformation.init(x))
    mesh = jax.make_mesh((2, 4), ("a", "b"), axis_types=(kind,) * 2)
    with jax.set_mesh(mesh):
        sharded = jax.device_put(x, NamedSharding(mesh, spec))
        y, _ = jax.jit(transformation.update)(sharded, transformation.init(sharded))
    assert y.sharding.is_equivalent_to(sharded.sharding, 2)
    assert_close(jax.device_get(y), jax.device_get(expected))


def test_the_kernel_draws_it_without_an_array_of_normals():
    available("cpu")
    transformation, kernel = add_noise(ETA, GAMMA, KEY), array(256, 1024)

    def step(kernel, x, state):
        gradient = jax.grad(lambda kernel: jnp.tanh(x @ kernel).sum())(kernel)
        return transformation.update(gradient, state)

    def without(kernel, x, state):
        return jax.grad(lambda kernel: jnp.tanh(x @ kernel).sum())(kernel), state

    arguments = kernel, array(8, 256), transformation.init(kernel)
    lowered = jax.jit(step).lower(*arguments)
    assert lowered.as_text().count(f"custom_call @{cpu.TARGET}") == 1
    sizes = [
        each.compile().memory_analysis().temp_size_in_bytes
        for each in (lowered, jax.jit(without).lower(*arguments))
    ]
    assert sizes[0] - sizes[1] < kernel.nbytes // 8


@every(
    ("arguments", "error", "text"),
    [
        ((-1.0, GAMMA, KEY), ValueError, "add_noise: eta must be finite and ≥ 0, got -1.0."),
        ((math.nan, GAMMA, KEY), ValueError, "add_noise: eta must be finite and ≥ 0, got nan."),
        ((ETA, math.inf, KEY), ValueError, "add_noise: gamma must be finite, got inf."),
        (("1", GAMMA, KEY), TypeError, "add_noise: eta must be a real number, got '1'."),
        ((ETA, GAMMA, 0), TypeError, "add_noise: key must be a jax.random key, got 0."),
        ((ETA, GAMMA, None), TypeError, "add_noise: key is missing."),
    ],
)
def test_arguments_are_checked(arguments, error: type[Exception], text: str):
    with pytest.raises(error, match=re.escape(text)):
        add_noise(*arguments)


def test_a_leaf_that_is_not_floating_is_refused():
    transformation = add_noise(ETA, GAMMA, KEY)
    with pytest.raises(TypeError, match=r"add_noise: .* must be floating"):
        transformation.update(jnp.arange(3), transformation.init(None))
