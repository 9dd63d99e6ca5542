"""Interrupted and resumed training draws the same noise as uninterrupted training."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax import nnx

import flaxnoise.linen
import flaxnoise.nnx
from layer_table import Row, two_rows

X = jax.random.normal(jax.random.key(3), (33, 129))


def saved_and_restored(folder: Path, state: Any, target: Any) -> Any:
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder / "state", state)
        checkpointer.wait_until_finished()
        return checkpointer.restore(folder / "state", target)


@two_rows
@pytest.mark.parametrize("implementation", ["threefry2x32", "rbg"])
def test_an_nnx_state_goes_through_orbax_and_continues(
    row: Row, implementation: str, tmp_path: Path
):
    def make(seed: int) -> nnx.Module:
        rngs = nnx.Rngs(jax.random.key(seed, impl=implementation))
        return getattr(flaxnoise.nnx, row.name)(**row.fields, rngs=rngs)

    layer, other = make(0), make(1)
    for _ in range(3):
        layer(X)
    state = saved_and_restored(tmp_path / row.name, nnx.state(layer), nnx.state(other))
    nnx.update(other, state)
    assert other.rngs.count[...] == 3
    for _ in range(2):
        np.testing.assert_array_equal(other(X), layer(X))


def test_a_learned_stddev_is_saved_with_the_stream(tmp_path: Path):
    layers = [
        flaxnoise.nnx.GaussianNoise(nnx.Param(jnp.array(stddev)), rngs=nnx.Rngs(0))
        for stddev in (0.3, 0.1)
    ]
    layers[0](X)
    state = saved_and_restored(tmp_path, *map(nnx.state, layers))
    nnx.update(layers[1], state)
    assert layers[1].stddev[...] == np.float32(0.3)
    np.testing.assert_array_equal(layers[1](X), layers[0](X))


def test_a_checkpoint_of_flaxs_layer_fits(tmp_path: Path):
    flaxs, ours = (
        layer(0.5, rngs=nnx.Rngs(seed))
        for seed, layer in enumerate([nnx.Dropout, flaxnoise.nnx.Dropout])
    )
    flaxs(X)
    nnx.update(ours, saved_and_restored(tmp_path, nnx.state(flaxs), nnx.state(ours)))
    np.testing.assert_array_equal(ours(X), flaxnoise.dropout(flaxs.rngs(), X, 0.5))


@two_rows
def test_linen_continues_from_a_key_and_a_step(row: Row, tmp_path: Path):
    layer = getattr(flaxnoise.linen, row.name)(**row.fields, deterministic=False)

    def step(state: dict[str, Any]) -> tuple[dict[str, Any], jax.Array]:
        key = jax.random.fold_in(state["key"], state["step"])
        y = layer.apply({}, X, rngs={"dropout": key})
        return {**state, "step": state["step"] + 1}, y

    state = {"key": jax.random.key(5), "step": jnp.array(0)}
    state, _ = step(state)
    target = {"key": jax.random.key(0), "step": jnp.array(0)}
    restored = saved_and_restored(tmp_path / row.name, state, target)
    np.testing.assert_array_equal(step(restored)[1], step(state)[1])
