"""Flax models (nnx and linen), our functions and our layers, under keys of flaxnoise.random.key."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

import flaxnoise
import flaxnoise.linen
import flaxnoise.nnx
from every import every
from flaxnoise import random
from flaxnoise.backends import cpu
from meshes import available, bits_equal

KEY = random.key(17)
X = jnp.ones((33, 129))
RATE = 0.3


def data(key: jax.Array) -> list[int]:
    return jax.random.key_data(key).tolist()


def is_ours(key: jax.Array) -> bool:
    return key.dtype == KEY.dtype


class Net(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.dense = nnx.Linear(129, 8, rngs=rngs)
        self.dropout = nnx.Dropout(RATE, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.dropout(self.dense(x))


class Model(linen.Module):
    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return linen.Dropout(RATE, deterministic=False)(linen.Dense(8)(x))


def test_streams_of_rngs_count_from_the_key_and_a_name_has_its_own():
    rngs = nnx.Rngs(KEY, dropout=random.key(18))
    drawn = [rngs.params(), rngs.params(), rngs.dropout(), rngs.dropout()]
    assert all(is_ours(key) for key in drawn)
    assert len({tuple(data(key)) for key in drawn}) == 4
    again = nnx.Rngs(KEY, dropout=random.key(18))
    assert [data(again.params()), data(again.params())] == [data(key) for key in drawn[:2]]


def test_nnx_draws_the_dropout_of_jax_random_and_goes_on():
    net = Net(nnx.Rngs(KEY))
    stream = nnx.clone(net.dropout.rngs)
    first, second = net(X), net(X)
    assert not bits_equal(first, second)
    kept = jax.random.bernoulli(stream(), 1 - RATE, first.shape)
    assert bits_equal(first != 0, kept)
    assert np.mean(first == 0) == pytest.approx(RATE, abs=7 * np.sqrt(0.21 / first.size))


def test_nnx_under_jit_and_grad_is_the_same():
    eager, compiled = Net(nnx.Rngs(KEY)), Net(nnx.Rngs(KEY))
    assert bits_equal(nnx.jit(lambda net, x: net(x) == 0)(compiled, X), eager(X) == 0)
    gradient = nnx.grad(lambda net, x: net(x).sum())
    assert bits_equal(
        gradient(eager, X).dense.bias[...], nnx.jit(gradient)(compiled, X).dense.bias[...]
    )


def test_split_rngs_gives_each_its_own_under_vmap_and_scan():
    """Initial weights and noise of four copies."""

    @nnx.split_rngs(splits=4)
    @nnx.vmap(in_axes=(0,), out_axes=0)
    def make(rngs: nnx.Rngs) -> Net:
        return Net(rngs)

    nets = make(nnx.Rngs(KEY))
    kernels = np.asarray(nets.dense.kernel[...])
    assert len({kernel.tobytes() for kernel in kernels}) == 4
    out = nnx.vmap(lambda net, x: net(x), in_axes=(0, None))(nets, X)
    assert len({(copy == 0).tobytes() for copy in np.asarray(out)}) == 4

    rngs = nnx.Rngs(KEY)
    with nnx.split_rngs(rngs, splits=3):
        keys = rngs.default.key[...]
        assert keys.shape == (3,)
        assert is_ours(keys)


def test_rngs_split_and_reseeded_keep_such_keys():
    net = Net(nnx.Rngs(KEY))
    before = net(X)
    nnx.reseed(net, default=KEY)
    net.dropout.rngs.count[...] = 0
    assert is_ours(net.dropout.rngs.key[...])
    assert is_ours(nnx.Rngs(KEY).split(2).default.key[...])
    assert before.shape == net(X).shape


def test_linen_initialises_and_drops():
    variables = Model().init({"params": KEY, "dropout": random.key(18)}, X)
    y = Model().apply(variables, X, rngs={"dropout": KEY})
    compiled = jax.jit(lambda key: Model().apply(variables, X, rngs={"dropout": key}))
    assert bits_equal(compiled(KEY) == 0, y == 0)
    assert np.mean(y == 0) == pytest.approx(RATE, abs=7 * np.sqrt(0.21 / y.size))
    assert not bits_equal(y == 0, compiled(random.key(18)) == 0)
    assert Model().init(KEY, X)["params"]["Dense_0"]["kernel"].shape == (129, 8)


def test_linen_scan_and_remat_split_the_key():
    class Layer(linen.Module):
        @linen.compact
        def __call__(self, x: jax.Array, _: None) -> tuple[jax.Array, None]:
            return linen.remat(linen.Dropout)(RATE, deterministic=False)(x), None

    stack = linen.scan(Layer, variable_axes={}, split_rngs={"dropout": True}, length=3)()
    y, _ = stack.apply({}, X, None, rngs={"dropout": KEY})
    survived = (1 - RATE) ** 3
    assert np.mean(y != 0) == pytest.approx(
        survived, abs=7 * np.sqrt(survived * (1 - survived) / y.size)
    )


def test_a_whole_model_draws_on_the_kernel():
    available("cpu")
    text = jax.jit(lambda key: Model().apply(Model().init(key, X), X, rngs={"dropout": key}))
    assert text.lower(KEY).as_text().count(f"@{cpu.TARGET}") >= 4
    assert "threefry" not in text.lower(KEY).as_text()


@every("word", range(4))
def test_each_word_of_a_key_matters_to_our_functions(word: int):
    words = jax.random.key_data(KEY)
    other = jax.random.wrap_key_data(words.at[word].add(1), impl=random.IMPL)
    kept = flaxnoise.dropout(KEY, X, 0.5) != 0
    changed = kept != (flaxnoise.dropout(other, X, 0.5) != 0)
    assert np.mean(changed) == pytest.approx(0.5, abs=7 * 0.5 / np.sqrt(X.size))
    assert bits_equal(kept, flaxnoise.dropout(words, X, 0.5) != 0)


def test_our_functions_and_layers_take_such_keys():
    keys = jax.random.split(KEY, 33)
    each = flaxnoise.per_example(flaxnoise.dropout)(keys, X, RATE)
    assert bits_equal(each[7], flaxnoise.dropout(keys[7], X[7], RATE))
    linens = flaxnoise.linen.Dropout(RATE, deterministic=False)
    assert linens.apply({}, X, rngs={"dropout": KEY}).shape == X.shape
    layer = flaxnoise.nnx.Dropout(RATE, rngs=nnx.Rngs(KEY))
    assert not bits_equal(layer(X), layer(X))
    passes = flaxnoise.mc_apply(lambda key: flaxnoise.dropout(key, X, RATE), KEY, samples=2)
    assert not bits_equal(passes.samples[0], passes.samples[1])
    with pytest.raises(ValueError, match="batch of keys"):
        flaxnoise.dropout(keys, X, RATE)


def test_masks_of_flax_and_of_ours_under_one_key_are_independent():
    size = 1 << 20
    flaxs = np.asarray(jax.random.bernoulli(KEY, 0.5, (size,)))
    ours = np.asarray(random.keep_mask(KEY, size, 0.5))
    assert np.mean(flaxs == ours) == pytest.approx(0.5, abs=7 * 0.5 / np.sqrt(size))
