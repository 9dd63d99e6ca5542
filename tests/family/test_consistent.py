"""ConsistentDropout keeps one mask over calls, time steps and inputs, until it is renewed."""

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import flaxnoise
import flaxnoise.linen
import flaxnoise.nnx
from cases import KEY, array
from closeness import assert_same_bits

X = array(4, 33)
RNGS = {"dropout": KEY}


def mask(y):
    return np.asarray(y == 0)


class Twice(flax.linen.Module):
    def setup(self):
        self.one = flaxnoise.linen.ConsistentDropout(0.5, deterministic=False)
        self.other = flaxnoise.linen.ConsistentDropout(0.5, deterministic=False)

    def __call__(self, x):
        return self.one(x), self.one(2 * x[:2]), self.other(x)


def test_linen_layer_keeps_its_mask_within_an_apply():
    first, second, other = Twice().apply({}, X, rngs=RNGS)
    assert mask(first).any()
    np.testing.assert_array_equal(mask(first)[0], mask(second)[0])
    np.testing.assert_array_equal(mask(first)[0], mask(first)[3])
    assert not np.array_equal(mask(first), mask(other))
    again = Twice().apply({}, X, rngs={"dropout": jax.random.key(8)})[0]
    assert not np.array_equal(mask(first), mask(again))


def test_linen_scan_keeps_the_mask_over_time():
    class Cell(flax.linen.Module):
        @flax.linen.compact
        def __call__(self, carry, x):
            return carry, flaxnoise.linen.ConsistentDropout(0.5, deterministic=False)(x)

    scan = flax.linen.scan(Cell, variable_broadcast="params", split_rngs={"dropout": False})
    _, y = scan().apply({}, None, array(6, 4, 33), rngs=RNGS)
    assert (mask(y) == mask(y)[:1, :1]).all()
    assert mask(y).any()


def test_nnx_layer_keeps_its_mask_until_resampled():
    layer = flaxnoise.nnx.ConsistentDropout(0.5, rngs=nnx.Rngs(0))
    first = layer(X)
    np.testing.assert_array_equal(mask(first)[0], mask(layer(3 * X[:2]))[1])
    np.testing.assert_array_equal(mask(nnx.jit(lambda layer, x: layer(x))(layer, X)), mask(first))
    layer.resample()
    assert not np.array_equal(mask(first), mask(layer(X)))
    again = flaxnoise.nnx.ConsistentDropout(0.5, rngs=nnx.Rngs(0))
    assert_same_bits(again(X), first)
    layer.eval()
    assert layer(X) is X


def test_nnx_layer_resamples_under_jit_and_survives_a_split():
    layer = flaxnoise.nnx.ConsistentDropout(0.5, rngs=nnx.Rngs(0))
    copy = nnx.merge(*nnx.split(layer))
    assert_same_bits(copy(X), layer(X))
    first = layer(X)

    @nnx.jit
    def step(layer, x):
        layer.resample()
        return layer(x)

    masks = [mask(step(layer, X)) for _ in range(3)]
    assert not any(np.array_equal(mask(first), each) for each in masks)
    np.testing.assert_array_equal(mask(layer(X)), masks[-1])


def test_the_mask_as_a_value_and_the_same_key_are_the_same_mask():
    time = array(7, 4, 33)
    stepwise = jax.lax.scan(lambda _, x: (None, flaxnoise.dropout(KEY, x, 0.5)), None, time)[1]
    at_once = flaxnoise.dropout(KEY, time, 0.5, broadcast_dims=0)
    assert_same_bits(stepwise, at_once)
    keep = flaxnoise.random.keep_mask(KEY, (4, 33), 0.5)
    assert_same_bits(at_once, jnp.where(keep, 2 * time, 0))
    locked = flaxnoise.spatial_dropout_1d(KEY, jnp.swapaxes(time, 0, 1), 0.5)
    assert (mask(locked) == mask(locked)[:, :1]).all()
