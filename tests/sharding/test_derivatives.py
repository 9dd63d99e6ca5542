"""Differentiation rules run after the call, and still draw the noise of its shard."""

import flax.linen
import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec

import flaxnoise
import flaxnoise.linen
from cases import KEY, array
from closeness import NOISE_ULPS, assert_same_bits, assert_within_ulps
from every import every
from flaxnoise.backends import cpu
from meshes import AUTO, EXPLICIT, mesh, put

P = PartitionSpec
X, WEIGHTS = array(8, 12), array(8, 12, seed=1)
KERNEL = array(12, 5, seed=2)


def salted(x: jax.Array, low: float = -1.0) -> jax.Array:
    return flaxnoise.salt_and_pepper_noise(KEY, x, 0.3, low, 2.0)


def noisy_gradient(x: jax.Array) -> jax.Array:
    return flaxnoise.gradient_noise(KEY, x, 0.5)


def sharded(function):
    """Applies a function inside shard_map, under local_shard."""
    spec = P("a", "b")

    def local(x: jax.Array) -> jax.Array:
        with flaxnoise.local_shard(spec):
            return function(x)

    return jax.shard_map(local, mesh=mesh(AUTO), in_specs=spec, out_specs=spec)


@every("function", [salted, noisy_gradient])
def test_gradients_of_shards_have_the_noise_of_the_whole_array(function):
    def gradient(f) -> jax.Array:
        return jax.jit(jax.grad(lambda x: jnp.vdot(WEIGHTS, f(x))))(X)

    assert_same_bits(gradient(sharded(function)), gradient(function))
    # Planted: without local_shard, each shard has the noise of the start of the array.
    alone = jax.shard_map(function, mesh=mesh(AUTO), in_specs=P("a", "b"), out_specs=P("a", "b"))
    assert not jnp.array_equal(gradient(alone), gradient(function))


def test_gradients_taken_inside_of_the_shard_map_as_well():
    def local(x: jax.Array, weights: jax.Array) -> jax.Array:
        def loss(x: jax.Array) -> jax.Array:
            with flaxnoise.local_shard(P("a", "b")):
                return jnp.vdot(weights, salted(x))

        return jax.grad(loss)(x)

    specs = P("a", "b")
    cut = jax.shard_map(local, mesh=mesh(AUTO), in_specs=(specs, specs), out_specs=specs)
    expected = jax.grad(lambda x: jnp.vdot(WEIGHTS, salted(x)))(X)
    assert_same_bits(jax.jit(cut)(X, WEIGHTS), expected)


@every("function", [salted, noisy_gradient])
def test_a_forced_backend_serves_the_backward_pass_too(function):
    def loss(x: jax.Array) -> jax.Array:
        with flaxnoise.backend("xla"):
            y = function(x)
        return jnp.vdot(WEIGHTS, y)

    assert cpu.TARGET not in jax.jit(jax.grad(loss)).lower(X).as_text()


@every("dims", [0, 1])
def test_concrete_dropout_shares_its_mask_across_shards(dims: int):
    def drop(x: jax.Array) -> jax.Array:
        return flaxnoise.concrete_dropout(KEY, x, 0.0, broadcast_dims=dims)

    assert_same_bits(jax.jit(sharded(drop))(X), jax.jit(drop)(X))


@every("factorised", [True, False])
def test_weights_have_one_noise_on_all_shards(factorised: bool):
    bias = jnp.zeros(5)

    def noisy(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return flaxnoise.noisy_dense(KEY, x, kernel, bias, kernel, bias, factorised=factorised)

    def dropping(x: jax.Array, kernel: jax.Array) -> jax.Array:
        dense = flaxnoise.linen.WeightNoise(
            flax.linen.Dense(5, use_bias=False), flaxnoise.linen.Dropout(0.5), deterministic=False
        )
        parameters = {"params": {"layer": {"kernel": kernel}}}
        return dense.apply(parameters, x, key=KEY)

    for function in (noisy, dropping):

        def local(x: jax.Array, kernel: jax.Array, function=function) -> jax.Array:
            with flaxnoise.local_shard(P("a")):
                return function(x, kernel)

        cut = jax.shard_map(local, mesh=mesh(AUTO), in_specs=(P("a"), P()), out_specs=P("a"))
        y, expected = jax.jit(cut)(X, KERNEL), jax.jit(function)(X, KERNEL)
        # Sums of 12 products, whose order depends on the number of rows; two factors are normals
        # below 7. Another mask would change whole terms.
        terms = (1 + 7) * (abs(X) @ abs(KERNEL))
        assert_within_ulps(y, expected, terms, ulps=12 + 2 * NOISE_ULPS)


def test_residual_drop_path_says_that_it_chooses_among_all_rows():
    def path(x: jax.Array) -> jax.Array:
        return flaxnoise.residual_drop_path(KEY, jnp.tanh, x, 0.5)

    with pytest.raises(NotImplementedError, match="residual_drop_path: must not be called under"):
        sharded(path)(X)


@every("spec", [P("a"), P(None, "b"), P(None, None, None, "a")], ids=str)
def test_drop_block_on_explicit_axes(spec: PartitionSpec):
    x, where = array(4, 8, 8, 6), mesh(EXPLICIT)

    def loss(x: jax.Array) -> jax.Array:
        return (flaxnoise.drop_block_2d(KEY, x, 0.3, block_size=3) ** 2).sum()

    drop = jax.jit(lambda x: flaxnoise.drop_block_2d(KEY, x, 0.3, block_size=3))
    expected, gradient = drop(x), jax.jit(jax.grad(loss))(x)
    with jax.set_mesh(where):
        cut = put(x, where, *spec)
        y = drop(cut)
        assert_same_bits(y, expected)
        assert y.sharding.is_equivalent_to(cut.sharding, 4)
        assert_same_bits(jax.jit(jax.grad(loss))(cut), gradient)


def test_gradients_of_impulses_on_explicit_axes():
    def gradient(x: jax.Array) -> jax.Array:
        return jax.jit(jax.grad(lambda low: jnp.sum(salted(x, low))))(-1.0)

    where = mesh(EXPLICIT)
    expected = gradient(X)
    with jax.set_mesh(where):
        assert gradient(put(X, where, "a", "b")) == expected
    assert expected > 0
