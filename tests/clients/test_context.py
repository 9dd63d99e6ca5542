"""replace_dropout only has an effect inside the call (threads, nesting, errors), and its report."""

import threading
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx
from flax.linen import attention as linen_attention
from flax.nnx.nn import attention as nnx_attention

import flaxnoise
import flaxnoise.linen
import flaxnoise.nnx
from cases import KEY, array
from every import every
from flaxnoise.linen import replace_dropout
from flaxnoise.replacement import attention as replacement

X = array(2, 5, 12)
RNGS = {"dropout": KEY}
DROPOUT = nn.Dropout(0.3, deterministic=False)


def run(function=DROPOUT.apply):
    return function({}, X, rngs=RNGS)


def attend(x, rate=0.3):
    q = x.reshape(2, 5, 3, 4)
    return nn.dot_product_attention(q, q, q, dropout_rng=KEY, dropout_rate=rate)


def state() -> tuple[object, ...]:
    """Returns everything that the context changes in Flax."""
    modules: tuple[Any, ...] = (linen_attention, nnx_attention)
    names = ("random", "jnp", "dot_product_attention_weights")
    return *(vars(module)[name] for module in modules for name in names), nnx.Dropout.__call__


def test_nothing_is_left_behind():
    before = state()
    theirs = run()
    ours = run(replace_dropout(DROPOUT.apply))
    assert state() == before

    @replace_dropout
    def failing():
        assert state() != before
        np.testing.assert_array_equal(run(replace_dropout(DROPOUT.apply)), ours)
        np.testing.assert_array_equal(run(), ours)
        raise KeyError("theirs")

    with pytest.raises(KeyError, match="theirs"):
        failing()
    assert state() == before
    np.testing.assert_array_equal(run(), theirs)


def test_another_thread_keeps_flaxs_dropout():
    theirs, ours = attend(X), replace_dropout(attend)(X)
    assert not np.array_equal(theirs, ours)
    before, results = state(), {}
    inside, done = threading.Event(), threading.Event()

    @replace_dropout
    def slow():
        inside.set()
        done.wait(60)
        results["ours"] = attend(X)
        return results["ours"]

    thread = threading.Thread(target=slow)
    thread.start()
    inside.wait(60)
    assert state() != before
    np.testing.assert_array_equal(attend(X), theirs)
    np.testing.assert_array_equal(replace_dropout(attend)(X), ours)
    done.set()
    thread.join()
    np.testing.assert_array_equal(results["ours"], ours)
    assert state() == before


def test_a_name_that_flax_no_longer_has_leaves_its_attention_alone(monkeypatch):
    theirs = attend(X)
    draws = jax.random.bernoulli
    monkeypatch.setattr(linen_attention, "random", type("Other", (), {"bernoulli": draws}))
    (draw,) = flaxnoise.dropouts(replace_dropout(attend), X)
    assert draw.computed_by == "flax"
    np.testing.assert_array_equal(replace_dropout(attend)(X), theirs)
    q = X.reshape(2, 5, 3, 4)
    with pytest.raises(RuntimeError, match="draws in a way unknown to flaxnoise"):
        flaxnoise.linen.dot_product_attention(q, q, q, dropout_rng=KEY, dropout_rate=0.3)


class Own(nn.Module):
    """A module with Flax's dropout and ours."""

    @nn.compact
    def __call__(self, x, train=True):
        x = nn.Dropout(0.3, deterministic=not train, name="theirs")(x)
        if train:
            keep = jax.random.bernoulli(self.make_rng("dropout"), 0.9, x.shape)
            x = jnp.where(keep, x, 0) + jax.random.normal(self.make_rng("dropout"), x.shape)
            x = flaxnoise.dropout(self.make_rng("dropout"), x, 0.3)  # nothing to replace
        return x


def test_the_report_names_what_is_replaced_and_what_is_left():
    reports = []
    apply = replace_dropout(Own().apply, report=reports.append)
    for _ in range(2):
        apply({}, X, rngs=RNGS)
    apply({}, X, False)
    training, evaluation = reports
    (replaced,), (left,) = training.replaced, training.left
    assert replaced.startswith("dropout[2, 5, 12] by flaxnoise, Own/theirs at ")
    assert "(Own.__call__)" in replaced
    assert left.startswith("jax.random.bernoulli[2, 5, 12] by client, Own at ")
    assert evaluation == type(training)((), ())
    assert str(training).startswith("replace_dropout: 1 replaced, 1 left\n  replaced dropout[")
    strict = replace_dropout(Own().apply, strict=True)
    with pytest.raises(ValueError, match=r"strict=True leaves nothing, got jax\.random\.bernoulli"):
        strict({}, X, rngs=RNGS)
    np.testing.assert_array_equal(strict({}, X, False), X)


def test_it_warns_where_there_is_no_dropout_and_only_there():
    dense = nn.Dense(3)
    with pytest.warns(UserWarning, match=r"no dropout of Flax's in Dense.apply"):
        replace_dropout(dense.apply)(dense.init(KEY, X), X)
    with pytest.warns(UserWarning, match=r"in the layers of Linear"):
        flaxnoise.nnx.replace_dropout(nnx.Linear(3, 3, rngs=nnx.Rngs(0)))
    step = jax.jit(attend)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            replace_dropout(step)(X)  # the second call hits jit's cache
        replace_dropout(Own().apply)({}, X, False)
        layer = flaxnoise.nnx.replace_dropout(nnx.Dropout(0.3, rngs=nnx.Rngs(0)))
        flaxnoise.nnx.replace_dropout(layer)


def test_modules_are_refused_by_name():
    with pytest.raises(TypeError, match=r"function must be a function, got the module Dropout\. P"):
        replace_dropout(DROPOUT)
    with pytest.raises(TypeError, match=r"got Dropout\. A module of nnx is for flaxnoise\.nnx"):
        replace_dropout(nnx.Dropout(0.3))
    with pytest.raises(TypeError, match=r"got Dropout\. Models of linen are for flaxnoise\.linen"):
        flaxnoise.nnx.replace_dropout(DROPOUT)
    with pytest.raises(TypeError, match="got int"):
        flaxnoise.nnx.replace_dropout(5)


@every("rate", [0.3, 1.0, np.float32(0.3)])
@every(("ours", "theirs"), [(flaxnoise.linen, nn), (flaxnoise.nnx, nnx)])
def test_the_attention_function_takes_any_rate(ours, theirs, rate):
    q = X.reshape(2, 5, 3, 4)
    weights = nn.dot_product_attention_weights(q, q)
    weights = flaxnoise.attention_dropout(KEY, weights, rate, broadcast_dropout=True)
    expected = jnp.einsum("...hqk,...khd->...qhd", weights, q)

    def attend(rate):
        return ours.dot_product_attention(q, q, q, dropout_rng=KEY, dropout_rate=rate)

    np.testing.assert_array_equal(attend(rate), expected)
    # Compiled as a whole: other orders in a softmax of 5 keys and a sum of 5 products.
    np.testing.assert_allclose(jax.jit(attend)(rate), expected, rtol=1e-6, atol=1e-6)


@every(("ours", "theirs"), [(flaxnoise.linen, nn), (flaxnoise.nnx, nnx)])
def test_the_attention_function_evaluates_as_flaxs(ours, theirs):
    q = X.reshape(2, 5, 3, 4)
    calm = {"dropout_rate": 0.3, "deterministic": True, "precision": "highest"}
    programs = [
        jax.make_jaxpr(lambda q, api=api: api.dot_product_attention(q, q, q, **calm))(q)
        for api in (ours, theirs)
    ]
    assert str(programs[0]) == str(programs[1])
    assert "HIGHEST" in str(programs[0])


@every(("ours", "theirs"), [(flaxnoise.linen, nn), (flaxnoise.nnx, nnx)])
def test_long_sequences_drop_the_same_weights_without_forming_them(ours, theirs):
    length = 512
    q, k, v = (array(1, length, 2, 4, seed=i) for i in range(3))
    bias, causal = array(1, 1, length, length), ours is flaxnoise.nnx
    shared = {"bias": bias, **({"is_causal": True} if causal else {})}
    weights = theirs.dot_product_attention_weights if theirs is nn else nnx_attention
    weights = getattr(weights, "dot_product_attention_weights", weights)(q, k, **shared)
    weights = flaxnoise.attention_dropout(KEY, weights, 0.3, broadcast_dropout=True)
    expected = jnp.einsum("...hqk,...khd->...qhd", weights, v)

    def attend(q):
        return ours.dot_product_attention(q, k, v, dropout_rng=KEY, dropout_rate=0.3, **shared)

    (draw,) = {draw.function for draw in flaxnoise.dropouts(attend, q)}
    assert draw == "dot_product_attention"
    # Sums over the length in different order: weights that sum to about 1, times values below 4.
    np.testing.assert_allclose(attend(q), expected, rtol=0, atol=length * 2.0**-22)


@pytest.mark.parametrize("ours", [flaxnoise.linen, flaxnoise.nnx])
@pytest.mark.parametrize("how", ["mask", "numbers", "bias", "both"])
def test_queries_that_see_no_key_have_the_results_and_gradients_of_flax(
    ours, how: str, monkeypatch: pytest.MonkeyPatch
):
    arrays = [array(2, 6, 2, 4, seed=i) for i in range(3)]
    sees = jnp.ones((2, 1, 6, 6), bool).at[0, 0, 2].set(False).at[1, 0, 3, 4].set(False)
    least = jnp.where(sees, 0, jnp.finfo(jnp.float32).min)
    options = {
        "mask": {"mask": sees},
        "numbers": {"mask": 2.0 * sees},
        "bias": {"bias": least},
        "both": {"mask": sees, "bias": array(2, 1, 6, seed=4)},
    }[how]

    def attend(*x):
        return ours.dot_product_attention(*x, dropout_rng=KEY, dropout_rate=0.3, **options)

    results = []
    for least_long, name in ((37, "attention_dropout"), (36, "dot_product_attention")):
        monkeypatch.setattr(replacement, "_LONG", least_long)
        assert {draw.function for draw in flaxnoise.dropouts(attend, *arrays)} == {name}
        y, pull = jax.vjp(attend, *arrays)
        results.append((y, *pull(jnp.cos(y))))
    for expected, own in zip(*results, strict=True):
        # Sums of at most 2·6 weighted numbers below 8.
        np.testing.assert_allclose(own, expected, rtol=0, atol=12 * 2.0**-21)


def test_a_method_of_a_model_is_inspected_again_when_the_flags_of_the_model_change():
    class Own(nnx.Module):
        def __init__(self):
            self.dropout = nnx.Dropout(0.3, rngs=nnx.Rngs(dropout=KEY))
            self.is_training = False

        def __call__(self, x):
            x = self.dropout(x)
            return x * jax.random.bernoulli(KEY, 0.5, x.shape) if self.is_training else x

    model = Own()
    strict = flaxnoise.nnx.replace_dropout(model.__call__, strict=True)
    strict(X)
    model.is_training = True
    with pytest.raises(ValueError, match=r"strict=True leaves nothing, got jax\.random\.bernoulli"):
        strict(X)
