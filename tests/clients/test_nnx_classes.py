"""Classes of client models that look at their own subclasses or methods, before and after."""

from typing import ClassVar

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import flaxnoise.nnx
from every import every

X = jnp.ones((4, 8))
REGISTRY: dict[str, type] = {}


class Model(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.dense = nnx.Linear(8, 8, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
        return self.dropout(self.dense(x))


class Registered(Model):
    """Keeps its subclasses by name, and refuses two of one name."""

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        assert cls.__name__ not in REGISTRY
        REGISTRY[cls.__name__] = cls


class Kept(Registered):
    pass


class Tagged(Model):
    """Asks its subclasses for an argument."""

    def __init_subclass__(cls, *, tag, **kwargs):
        super().__init_subclass__(**kwargs)
        cls.tag = tag


class WithTag(Tagged, tag="a"):
    pass


class Dropout(nnx.Dropout):
    """A layer that keeps its subclasses."""

    subclasses: ClassVar[list[type]] = []

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        Dropout.subclasses.append(cls)


@every("cls", [Model, Kept, WithTag])
def test_a_table_of_a_replaced_model_is_that_of_the_model(cls: type):
    expected = nnx.tabulate(cls(nnx.Rngs(0)), X)
    model = flaxnoise.nnx.replace_dropout(cls(nnx.Rngs(0)), strict=True)
    assert nnx.tabulate(model, X) == expected
    assert isinstance(model.dropout, flaxnoise.nnx.Dropout)
    assert (np.asarray(model(X)) == 0).any()


def test_registries_of_subclasses_keep_the_clients_classes():
    plain = Kept(nnx.Rngs(0))(X)
    model = flaxnoise.nnx.replace_dropout(Kept(nnx.Rngs(0)))
    assert type(model) is not Kept
    assert {"Kept": Kept} == REGISTRY
    np.testing.assert_array_equal(REGISTRY["Kept"](nnx.Rngs(0))(X), plain)
    own = nnx.Sequential(Dropout(0.5, rngs=nnx.Rngs(0)))
    flaxnoise.nnx.replace_dropout(own, strict=True)
    assert isinstance(own.layers[0], flaxnoise.nnx.Dropout)
    assert isinstance(own.layers[0], Dropout)
    assert Dropout.subclasses == []


def test_arguments_of_subclasses_are_inherited():
    model = flaxnoise.nnx.replace_dropout(WithTag(nnx.Rngs(0)), strict=True)
    assert model.tag == "a"
    again = flaxnoise.nnx.replace_dropout(model)
    assert again is model
    assert isinstance(model, WithTag)


@pytest.mark.parametrize("cls", [Kept, WithTag])
def test_replaced_models_are_nodes_of_graphs(cls: type):
    model = flaxnoise.nnx.replace_dropout(cls(nnx.Rngs(0)))
    assert type(nnx.merge(*nnx.split(model))) is type(model)
    copied = nnx.clone(model)
    y = nnx.jit(lambda model, x: model(x))(copied, X)
    np.testing.assert_array_equal(y == 0, model(X) == 0)
    assert copied.dropout.rngs.count[...] == 1
