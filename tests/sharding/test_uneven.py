"""Shardings that only the partitioner makes: with padding, or over part of a mesh axis."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding, PartitionSpec

import flaxnoise
from cases import KEY, array
from every import every
from meshes import AUTO, Program, bits_equal, every_backend, mesh, put

P = PartitionSpec


def drop(x: jax.Array) -> jax.Array:
    return flaxnoise.dropout(KEY, x, 0.3)


def cut_inside(function: Callable, spec: PartitionSpec) -> Callable:
    """Shards operand and result inside the program, where shards may be uneven."""

    def whole(x: jax.Array) -> jax.Array:
        sharding = NamedSharding(mesh(AUTO), spec)
        x = jax.lax.with_sharding_constraint(x, sharding)
        return jax.lax.with_sharding_constraint(function(x), sharding)

    return whole


@every(
    ("shape", "spec", "local"),
    [
        ((7, 5), P("a", "b"), (4, 2)),
        ((10, 3), P(("b", "a")), (2, 3)),  # 5 devices hold the rows, 3 hold only padding
        ((33, 129), P("b", "a"), (9, 65)),
        ((1, 5), P("a", "b"), (1, 2)),
    ],
    ids=str,
)
@every_backend
def test_uneven_shards(served_by: str, shape: tuple, spec: PartitionSpec, local: tuple):
    x = put(array(*shape), mesh(AUTO))
    program = Program(cut_inside(drop, spec), x)
    assert bits_equal(program.result, drop(array(*shape)))
    assert program.shards == (set() if served_by == "xla" else {local})


@every_backend
def test_uneven_shards_communicate_nothing_but_the_sum_that_is_asked_for(served_by: str):
    """A sum of small integers is exact in any order, so a wrong element would show."""
    spec, shape = P("a", "b"), (33, 129)

    def half(x: jax.Array) -> jax.Array:
        return flaxnoise.dropout(KEY, x, 0.5)

    def total(x: jax.Array) -> jax.Array:
        return jnp.sum(cut_inside(half, spec)(jnp.full(shape, x)))

    program = Program(total, put(7.0, mesh(AUTO)))
    assert program.result == half(jnp.full(shape, 7.0)).sum()
    assert program.collectives == {"all-reduce"}
    assert program.shards == (set() if served_by == "xla" else {(17, 33)})


@every(
    ("shape", "spec", "new", "local"),
    [
        ((8, 16), P("b"), (2, 4, 16), (1, 2, 16)),  # b is split in two
        ((2, 4, 16), P("a", "b"), (8, 16), (1, 16)),
        ((8, 16), P("a", "b"), (8, 4, 4), (4, 1, 4)),
    ],
    ids=str,
)
@every_backend
def test_after_a_reshape_each_device_keeps_its_elements(
    served_by: str, shape: tuple, spec: PartitionSpec, new: tuple, local: tuple
):
    """Reshaped back as well, so no output needs a sharding that the mesh cannot express."""

    def function(x: jax.Array) -> jax.Array:
        return drop(x.reshape(new)).reshape(shape)

    x = array(*shape)
    program = Program(function, put(x, mesh(AUTO), *spec))
    assert bits_equal(program.result, drop(x))
    assert not program.collectives
    assert program.shards == (set() if served_by == "xla" else {local})


@pytest.mark.parametrize("served_by", ["xla", "cpu"], indirect=True)
def test_without_any_named_mesh(served_by: str):
    """A sharding that only lists devices, for which custom_partitioning gets no mesh."""
    from jax._src.sharding_impls import GSPMDSharding

    x = array(8, 3)
    sharding = GSPMDSharding.get_replicated(jax.devices())
    program = Program(drop, jax.device_put(x, sharding))
    assert bits_equal(program.result, drop(x))
    assert not program.collectives
