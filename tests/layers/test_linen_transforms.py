"""Under every lifted transform of linen a layer equals its function with the key of its scope."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

import flaxnoise.linen
from every import every
from layer_table import Row, two_rows

RNGS = {"dropout": jax.random.key(5)}
X = jax.random.normal(jax.random.key(3), (4, 33, 129))


class Noisy(nn.Module):
    """A model that contains the row's layer."""

    row: Row

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        layer = getattr(flaxnoise.linen, self.row.name)
        return layer(**self.row.fields, deterministic=False, name="noise")(x)

    def step(self, carry: Any, x: jax.Array) -> tuple[Any, jax.Array]:
        return carry, self(x)


class Key(nn.Module):
    def __call__(self) -> jax.Array:
        return self.make_rng("dropout")


class KeyOfNoisy(Noisy):
    """A model that returns the key of its layer instead of the noisy x."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return Key(name="noise")()


def split(each: bool) -> dict[str, Any]:
    return {"variable_axes": {}, "split_rngs": {"dropout": each}}


# Lifts a module class so that it is applied to every x of X.
OVER_X = {
    "vmap, a key for each": lambda model: nn.vmap(model, **split(True)),
    "vmap, one key": lambda model: nn.vmap(model, **split(False)),
    "vmap of remat": lambda model: nn.vmap(nn.remat(model), **split(True)),
    "jit of vmap": lambda model: nn.jit(nn.vmap(model, **split(True))),
}
SCANS = {
    "scan, a key for each": lambda model: nn.scan(model, methods=["step"], **split(True)),
    "scan, one key": lambda model: nn.scan(model, methods=["step"], **split(False)),
    "scan of remat": lambda model: nn.scan(
        nn.remat(model, methods=["step"]), methods=["step"], **split(True)
    ),
}
OF_ONE = {
    "nothing": lambda model: model,
    "jit": nn.jit,
    "remat": nn.remat,
    "remat of jit": lambda model: nn.remat(nn.jit(model)),
}


def assert_same(row: Row, ys: jax.Array, keys: jax.Array, lift: str) -> None:
    for y, x, key in zip(ys, X, keys, strict=True):
        row.case.assert_equal(y, row.function(key, x, **row.fields), x)
    assert len({str(key) for key in keys}) == (1 if "one key" in lift else len(X))


@two_rows
@every("lift", OVER_X)
def test_vmap(row: Row, lift: str):
    ys, keys = (OVER_X[lift](model)(row).apply({}, X, rngs=RNGS) for model in (Noisy, KeyOfNoisy))
    assert_same(row, ys, keys, lift)


@two_rows
@every("lift", SCANS)
def test_scan(row: Row, lift: str):
    (_, ys), (_, keys) = (
        SCANS[lift](model)(row).apply({}, (), X, rngs=RNGS, method="step")
        for model in (Noisy, KeyOfNoisy)
    )
    assert_same(row, ys, keys, lift)


@two_rows
@every("lift", OF_ONE)
def test_transforms_of_one_call_and_their_gradients(row: Row, lift: str):
    model = OF_ONE[lift](Noisy)(row)
    key = OF_ONE[lift](KeyOfNoisy)(row).apply({}, X[0], rngs=RNGS)
    y, gradient = jax.value_and_grad(lambda x: model.apply({}, x, rngs=RNGS)[7, 3])(X[0])
    expected = jax.value_and_grad(lambda x: row.function(key, x, **row.fields)[7, 3])(X[0])
    row.case.assert_equal(y, expected[0], X[0, 7, 3])
    row.case.assert_equal(gradient, expected[1], 1.0)


class Differentiated(nn.Module):
    """A model that differentiates inside, through lifted transforms."""

    row: Row
    how: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        noisy = Noisy(self.row, name="noisy")
        if self.how == "vjp":
            y, pull = nn.vjp(lambda noisy, x: noisy(x), noisy, x)
            return pull(jnp.ones_like(y))[1]
        return nn.jvp(lambda noisy, x: noisy(x), noisy, (x,), (jnp.ones_like(x),), {})[1]


class KeyOfDifferentiated(nn.Module):
    row: Row

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return nn.jvp(
            lambda noisy, x: noisy(x), KeyOfNoisy(self.row, name="noisy"), (x,), (x,), {}
        )[0]


@two_rows
@every("how", ["vjp", "jvp"])
def test_derivatives_inside_a_model(row: Row, how: str):
    actual = Differentiated(row, how).apply({}, X[0], rngs=RNGS)
    key = KeyOfDifferentiated(row).apply({}, X[0], rngs=RNGS)
    expected = jax.grad(lambda x: row.function(key, x, **row.fields).sum())(X[0])
    row.case.assert_equal(actual, expected, 1.0)


class Branches(nn.Module):
    row: Row
    noisy: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x: jax.Array, train: jax.Array) -> jax.Array:
        noisy = self.noisy(self.row, name="noisy")
        return nn.cond(train, lambda noisy, x: noisy(x), lambda noisy, x: x, noisy, x)


@two_rows
def test_a_branch_that_is_chosen_at_run_time(row: Row):
    model = Branches(row, Noisy)
    apply = jax.jit(lambda x, train: model.apply({}, x, train, rngs=RNGS))
    np.testing.assert_array_equal(apply(X[0], False), X[0])
    y = apply(X[0], True)
    assert not np.array_equal(y, X[0])
    row.case.assert_equal(y, model.apply({}, X[0], True, rngs=RNGS), X[0])


@two_rows
def test_jit_around_apply(row: Row):
    model = Noisy(row)
    y = jax.jit(lambda x, rngs: model.apply({}, x, rngs=rngs))(X[0], RNGS)
    row.case.assert_equal(y, model.apply({}, X[0], rngs=RNGS), X[0])
