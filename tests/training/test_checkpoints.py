"""A run that Orbax saved and restored continues bit for bit, and with the same noise anywhere."""

import gc
from pathlib import Path
from typing import Any

import flax.linen
import jax
import jax.numpy as jnp
import optax
import orbax.checkpoint as ocp
import pytest
from flax import nnx
from flax.training import train_state
from jax.sharding import NamedSharding, PartitionSpec

import flaxnoise
import flaxnoise.linen
import flaxnoise.nnx
from cases import array
from closeness import assert_same_bits
from meshes import AUTO, mesh, put

X, TARGETS = array(16, 12), array(16, 3, seed=1)


def save(folder: Path, state: Any) -> None:
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder / "state", state)


def restore(folder: Path, target: Any) -> Any:
    with ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore(folder / "state", target)


class Network(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.first = nnx.Linear(12, 8, rngs=rngs)
        self.dropout = flaxnoise.nnx.Dropout(0.3, rngs=rngs)
        self.noise = flaxnoise.nnx.GaussianNoise(nnx.Param(jnp.array(0.1)), rngs=rngs)
        self.second = nnx.Linear(8, 3, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.second(self.noise(self.dropout(self.first(x))))


def nnx_run(seed: int, implementation: str) -> tuple[nnx.Module, nnx.Optimizer]:
    model = Network(nnx.Rngs(jax.random.key(seed, impl=implementation)))
    return model, nnx.Optimizer(model, optax.adam(0.1), wrt=nnx.Param)


@nnx.jit
def nnx_step(model: nnx.Module, optimizer: nnx.Optimizer) -> jax.Array:
    loss, gradient = nnx.value_and_grad(lambda model: jnp.mean((model(X) - TARGETS) ** 2))(model)
    optimizer.update(model, gradient)
    return loss


@pytest.mark.parametrize("implementation", ["threefry2x32", "philox4x32"])
def test_an_nnx_run_goes_on_with_its_streams(implementation: str, tmp_path: Path):
    run, resumed = nnx_run(0, implementation), nnx_run(1, implementation)
    for _ in range(3):
        nnx_step(*run)
    save(tmp_path, nnx.state(run))
    nnx.update(resumed, restore(tmp_path, nnx.state(resumed)))
    for _ in range(3):
        assert_same_bits(nnx_step(*resumed), nnx_step(*run))
    jax.tree.map(assert_same_bits, words(nnx.state(resumed)), words(nnx.state(run)))


def words(state: Any) -> Any:
    """Replaces keys by their words, so that all leaves are arrays of numbers."""
    return jax.tree.map(
        lambda x: jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x,
        nnx.as_pure(state),
    )


class TrainState(train_state.TrainState):
    key: jax.Array


class Linen(flax.linen.Module):
    @flax.linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = flaxnoise.linen.Dropout(0.3, deterministic=False)(flax.linen.Dense(8)(x))
        x = flaxnoise.linen.MaskedGaussianNoise(0.3, 0.1, deterministic=False)(x)
        return flax.linen.Dense(3)(x)


def linen_run(seed: int, implementation: str) -> TrainState:
    key, model = jax.random.key(seed, impl=implementation), Linen()
    params = model.init(key, X)
    return TrainState.create(
        apply_fn=model.apply, params=params, tx=optax.adam(0.1), key=jax.random.fold_in(key, 1)
    )


@jax.jit
def linen_step(state: TrainState, x: jax.Array) -> tuple[TrainState, jax.Array]:
    """Takes a step; folding the step into the constant key gives each step its own."""

    def loss(params: Any) -> jax.Array:
        key = jax.random.fold_in(state.key, state.step)
        y = state.apply_fn(params, x, rngs={"dropout": key})
        return jnp.mean((y - TARGETS) ** 2)

    value, gradient = jax.value_and_grad(loss)(state.params)
    return state.apply_gradients(grads=gradient), value


@pytest.mark.parametrize("implementation", ["threefry2x32", "unsafe_rbg"])
def test_a_linen_run_goes_on_with_its_key_and_step(implementation: str, tmp_path: Path):
    run, resumed = linen_run(0, implementation), linen_run(1, implementation)
    for _ in range(3):
        run, _ = linen_step(run, X)
    save(tmp_path, run)
    resumed = restore(tmp_path, resumed)
    for _ in range(3):
        run, loss = linen_step(run, X)
        resumed, resumed_loss = linen_step(resumed, X)
        assert_same_bits(resumed_loss, loss)
    jax.tree.map(assert_same_bits, resumed.params, run.params)


@pytest.mark.parametrize(
    "implementation", ["threefry2x32", "rbg", "unsafe_rbg", "threefry4x32", "philox4x32"]
)
def test_restored_on_other_devices_the_noise_is_the_same(implementation: str, tmp_path: Path):
    """Saved from eight devices with x sharded, restored onto two."""
    key = jax.random.key(5, impl=implementation)
    where = mesh(AUTO)
    save(tmp_path, {"key": put(key, where), "x": put(X, where, ("b", "a"))})
    two = jax.make_mesh((2,), ("a",), axis_types=(AUTO,), devices=jax.devices()[:2])
    target = {
        "key": jax.ShapeDtypeStruct((), key.dtype, sharding=NamedSharding(two, PartitionSpec())),
        "x": jax.ShapeDtypeStruct(
            X.shape, X.dtype, sharding=NamedSharding(two, PartitionSpec("a"))
        ),
    }
    restored = restore(tmp_path, target)
    y = flaxnoise.dropout(restored["key"], restored["x"], 0.3)
    assert {shard.data.shape for shard in y.addressable_shards} == {(8, 12)}
    assert_same_bits(y, flaxnoise.dropout(key, X, 0.3))


# Orbax reads in several threads; after the first error the others raise unraisable exceptions.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("damage", ["truncated", "missing"])
def test_a_damaged_checkpoint_raises_what_orbax_raises(damage: str, tmp_path: Path):
    """The error is the same as for a checkpoint of plain arrays."""
    errors = []
    for name, state in (
        ("ours", nnx.state(nnx_run(0, "threefry2x32"))),
        ("plain", {"x": jnp.arange(8.0)}),
    ):
        save(tmp_path / name, state)
        damaged = [file for file in (tmp_path / name).rglob("d/*") if file.is_file()]
        assert damaged
        for file in damaged:
            file.write_bytes(b"") if damage == "truncated" else file.unlink()
        with pytest.raises(Exception) as caught:  # noqa: PT011 (which one is Orbax's business)
            restore(tmp_path / name, state)
        errors.append(type(caught.value))
        del caught
        gc.collect()  # here, and not during another test
    assert errors[0] is errors[1]
