"""stop_gradient by path: paths have the same form in every kind of tree."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import core, linen, nnx

import flaxnoise
from every import every


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Layer:
    kernel: jax.Array
    value: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Model:
    encoder: Layer
    heads: list[Layer]


class Linen(linen.Module):
    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        box = linen.with_partitioning(linen.initializers.ones, ("in", "out"))
        return linen.Dense(2, kernel_init=box, name="encoder")(x)


class Nnx(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.encoder = nnx.Linear(3, 2, rngs=rngs)
        self.heads = nnx.List([nnx.Linear(2, 2, rngs=rngs)])


X = jnp.ones((4, 3))
DENSE = {"encoder": {"kernel": X, "bias": X}, "heads": [{"kernel": X}]}
BOXED = Linen().init(jax.random.key(0), X)["params"]
MODULE = Nnx(nnx.Rngs(0))
STATE = nnx.state(MODULE)
TREES: dict[str, tuple[Any, set[str]]] = {
    "dicts and lists": (DENSE, {"encoder/bias", "encoder/kernel", "heads/0/kernel"}),
    "frozen dicts": (core.freeze(DENSE["encoder"]), {"bias", "kernel"}),
    "dataclasses": (
        Model(Layer(X, X), [Layer(X, X)]),
        {"encoder/kernel", "encoder/value", "heads/0/kernel", "heads/0/value"},
    ),
    "linen, partitioned": (BOXED, {"encoder/bias", "encoder/kernel"}),
    **{
        f"nnx.{type(tree).__name__}": (
            tree,
            {"encoder/bias", "encoder/kernel", "heads/0/bias", "heads/0/kernel"},
        )
        for tree in (MODULE, STATE)
    },
}
every_tree = every(("tree", "paths"), TREES.values(), ids=TREES)


def frozen(tree: Any, where: Callable[[str], bool]) -> list[bool]:
    """Returns which leaves have no gradient; asserts that all keep their values."""

    def total(tree: Any) -> jax.Array:
        stopped = flaxnoise.stop_gradient(tree, where)
        assert jax.tree.structure(stopped) == jax.tree.structure(tree)
        return sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(stopped))

    gradients = jax.tree.leaves(jax.grad(total)(jax.tree.map(lambda leaf: leaf + 1, tree)))
    return [not np.any(leaf) for leaf in gradients]


@every_tree
def test_paths_lead_to_arrays_and_name_no_box(tree: Any, paths: set[str]):
    seen: list[str] = []
    frozen(tree, lambda path: bool(seen.append(path)) or True)
    assert set(seen) == paths


@every_tree
def test_what_a_path_names_is_frozen_and_nothing_else(tree: Any, paths: set[str]):
    for chosen in sorted(paths):
        stopped = frozen(tree, chosen.__eq__)
        assert sum(stopped) == 1
        assert stopped[sorted(paths).index(chosen)]


@every_tree
def test_a_test_of_paths_that_matches_none_is_an_error(tree: Any, paths: set[str]):
    text = r"^stop_gradient: where must be true of a path, got false for each of \['.*kernel"
    with pytest.raises(ValueError, match=text):
        flaxnoise.stop_gradient(tree, lambda path: path == "encoder/kernel/value")


def test_a_tree_without_leaves_has_no_path_to_match():
    assert flaxnoise.stop_gradient({}, lambda path: False) == {}


def test_the_layer_of_a_model_is_frozen_in_training():
    def loss(model: Nnx, x: jax.Array) -> jax.Array:
        model = flaxnoise.stop_gradient(model, lambda path: path.startswith("encoder/"))
        return jnp.sum(model.heads[0](model.encoder(x)) ** 2)

    gradient = nnx.grad(loss)(MODULE, X)
    assert not np.any(gradient.encoder.kernel[...])
    assert np.any(gradient.heads[0].kernel[...])
