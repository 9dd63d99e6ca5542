"""Part 2 of the demo: what Dropout(1.0) and StopGradient have in common, and how they differ."""

import jax
import pytest

from demo_parts import gradients

FROZEN = ("Dense_0 kernel", "Dense_0 bias")


@pytest.fixture(scope="module")
def results() -> dict[str, gradients.Result]:
    key = jax.random.key(0)
    return {name: gradients.train(layer, key) for name, layer in gradients.LAYERS.items()}


@pytest.mark.parametrize("name", ["Dropout(1.0)", "StopGradient()"])
def test_first_layer_is_unchanged_and_its_gradient_zero(results, name: str):
    assert [results[name].unchanged[leaf] for leaf in FROZEN] == [True, True]
    assert [float(results[name].largest[leaf]) for leaf in FROZEN] == [0, 0]


@pytest.mark.parametrize("name", ["none", "Dropout(0.99999)"])
def test_first_layer_learns_where_something_gets_through(results, name: str):
    assert results[name].passed > 0
    assert [results[name].unchanged[leaf] for leaf in FROZEN] == [False, False]


def test_outputs_are_zeros_against_identity(results):
    assert results["Dropout(1.0)"].passed == 0
    assert not results["Dropout(1.0)"].is_identity
    assert results["StopGradient()"].passed > 0
    assert results["StopGradient()"].is_identity


def test_only_stop_gradient_lets_the_last_layer_learn_from_the_first(results):
    assert results["Dropout(1.0)"].largest["Dense_1 kernel"] == 0
    assert results["Dropout(1.0)"].unchanged["Dense_1 kernel"]
    assert not results["Dropout(1.0)"].unchanged["Dense_1 bias"]
    assert results["StopGradient()"].largest["Dense_1 kernel"] > 0
    assert not results["StopGradient()"].unchanged["Dense_1 kernel"]
    assert results["StopGradient()"].losses[-1] < results["Dropout(1.0)"].losses[-1]
