"""Under every transform of nnx a layer draws as in a loop, and its stream advances equally."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import flaxnoise.nnx
from layer_table import Row, two_rows

X = jax.random.normal(jax.random.key(3), (4, 33, 129))


def make(row: Row) -> nnx.Module:
    return getattr(flaxnoise.nnx, row.name)(**row.fields, rngs=nnx.Rngs(0))


def keys(count: int = len(X)) -> list[jax.Array]:
    """Returns the keys that the stream of a new layer gives."""
    stream = nnx.Rngs(0).dropout.fork()
    return [stream() for _ in range(count)]


def assert_same(row: Row, ys: jax.Array, given: list[jax.Array]) -> None:
    """Asserts that each y is the function of its x and key."""
    chex.assert_equal_shape([ys, X])
    for y, x, key in zip(ys, X, given, strict=True):
        row.case.assert_equal(y, row.function(key, x, **row.fields), x)


@two_rows
def test_eager(row: Row):
    layer = make(row)
    assert_same(row, jnp.stack([layer(x) for x in X]), keys())


@two_rows
def test_jit(row: Row):
    layer = make(row)
    apply = nnx.jit(lambda layer, x: layer(x))
    assert_same(row, jnp.stack([apply(layer, x) for x in X]), keys())
    assert layer.rngs.count[...] == len(X)


@two_rows
def test_jax_jit_of_split_and_merge(row: Row):
    graph, state = nnx.split(make(row))

    @jax.jit
    def apply(state: nnx.State, x: jax.Array) -> tuple[nnx.State, jax.Array]:
        layer = nnx.merge(graph, state)
        y = layer(x)
        return nnx.state(layer), y

    ys = []
    for x in X:
        state, y = apply(state, x)
        ys.append(y)
    assert_same(row, jnp.stack(ys), keys())


@two_rows
def test_scan_with_the_layer_as_carry(row: Row):
    layer = make(row)
    apply = nnx.scan(
        lambda layer, x: (layer, layer(x)),
        in_axes=(nnx.Carry, 0),
        out_axes=(nnx.Carry, 0),
    )
    _, ys = apply(layer, X)
    assert_same(row, ys, keys())


@two_rows
def test_scan_over_layers(row: Row):
    layers = nnx.vmap(
        lambda rngs: getattr(flaxnoise.nnx, row.name)(**row.fields, rngs=rngs), in_axes=0
    )(nnx.Rngs(dropout=0).split(len(X)))
    given = [nnx.RngStream(key, tag="dropout")() for key in layers.rngs.key[...]]
    assert len(set(map(str, given))) == len(X)
    ys = nnx.scan(lambda layer, x: layer(x), in_axes=(0, 0), out_axes=0)(layers, X)
    assert_same(row, ys, given)


@two_rows
def test_fori_loop(row: Row):
    layer, ys = nnx.fori_loop(
        0,
        len(X),
        lambda i, carry: (carry[0], carry[1].at[i].set(carry[0](X[i]))),
        (make(row), jnp.zeros_like(X)),
    )
    assert_same(row, ys, keys())
    assert layer.rngs.count[...] == len(X)


@two_rows
def test_vmap_with_a_stream_for_each_example(row: Row):
    layer = make(row)
    [key] = keys(1)
    given = [nnx.RngStream(each, tag="")() for each in jax.random.split(key, len(X))]
    axes = nnx.StateAxes({nnx.RngState: 0, ...: None})

    @nnx.split_rngs(splits=len(X))
    @nnx.vmap(in_axes=(axes, 0))
    def apply(layer: nnx.Module, x: jax.Array) -> jax.Array:
        return layer(x)

    assert_same(row, apply(layer, X), given)


@two_rows
def test_vmap_with_one_key_shares_the_noise(row: Row):
    [key] = keys(1)
    ys = nnx.vmap(lambda layer, x: layer(x, key=key), in_axes=(None, 0))(make(row), X)
    assert_same(row, ys, [key] * len(X))


@two_rows
def test_grad(row: Row):
    layer = make(row)
    [key] = keys(1)
    gradient = nnx.grad(lambda layer, x: layer(x).sum(), argnums=1)(layer, X[0])
    expected = jax.grad(lambda x: row.function(key, x, **row.fields).sum())(X[0])
    row.case.assert_equal(gradient, expected, 1.0)
    assert layer.rngs.count[...] == 1


@two_rows
def test_remat_draws_the_same_again_and_moves_the_stream_once(row: Row):
    class Block(nnx.Module):
        def __init__(self):
            self.linear = nnx.Linear(129, 129, rngs=nnx.Rngs(1))
            self.noise = make(row)

        def __call__(self, x: jax.Array) -> jax.Array:
            return jnp.sin(self.noise(jnp.sin(self.linear(x))))

    plain, remat = Block(), Block()
    expected = nnx.value_and_grad(lambda block, x: block(x).sum())(plain, X[0])
    actual = nnx.value_and_grad(lambda block, x: nnx.remat(Block.__call__)(block, x).sum())(
        remat, X[0]
    )
    np.testing.assert_array_equal(actual[0], expected[0])
    chex.assert_trees_all_equal(actual[1], expected[1])
    assert remat.noise.rngs.count[...] == plain.noise.rngs.count[...] == 1
