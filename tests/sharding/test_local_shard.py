"""Inside a user's shard_map: the noise of the global array, or independent noise per device."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec

import flaxnoise
from cases import KEY, array
from every import every
from meshes import (
    AUTO,
    EXPLICIT,
    Program,
    bits_equal,
    both_kinds,
    every_backend,
    mesh,
    put,
    xla_and_cpu,
)

P = PartitionSpec
X = array(8, 12, 5)


def drop(x: jax.Array) -> jax.Array:
    return flaxnoise.dropout(KEY, x, 0.3)


def under(spec: PartitionSpec, function):
    def local(x: jax.Array) -> jax.Array:
        with flaxnoise.local_shard(spec):
            return function(x)

    return local


@every(
    ("spec", "check_vma"),
    [
        (P("a"), True),
        (P("b", "a"), True),
        (P("b", "a"), False),
        (P(("b", "a")), True),
        (P(None, "b"), True),
        (P(None, None, None), True),
    ],
    ids=str,
)
@every_backend
def test_a_shard_gets_its_part_of_the_noise(served_by: str, spec: PartitionSpec, check_vma: bool):
    where = mesh(AUTO)
    cut = jax.shard_map(
        under(spec, drop), mesh=where, in_specs=spec, out_specs=spec, check_vma=check_vma
    )
    program = Program(cut, put(X, where, *spec))
    assert bits_equal(program.result, drop(X))
    assert not program.collectives
    assert bool(program.shards) == (served_by != "xla")


@both_kinds
@every("manual", ["a", "b"])
def test_a_partly_manual_shard_map_leaves_the_other_axis_to_the_compiler(kind, manual: str):
    """No kernel can run there, so the xla form is used."""
    spec, where = P(manual), mesh(kind)
    flaxnoise.partition_kernels()
    try:
        cut = jax.shard_map(
            under(spec, drop), mesh=where, in_specs=spec, out_specs=spec, axis_names={manual}
        )
        x = put(X, where, manual, *("b" if manual == "a" else "a"))
        program = Program(cut, x)
    finally:
        flaxnoise.partition_kernels(enable=False)
    assert bits_equal(program.result, drop(X))
    assert program.result.sharding.is_equivalent_to(x.sharding, 3)
    assert not program.shards
    # In jax 0.10 such a shard_map over explicit axes always gathers its operands.
    plain = jax.shard_map(jnp.sin, mesh=where, in_specs=spec, out_specs=spec, axis_names={manual})
    assert program.collectives <= Program(plain, x).collectives


@pytest.mark.parametrize("kernel", ["opaque", "cpu"], indirect=True)
def test_a_forced_kernel_says_why_it_cannot_serve_a_partly_manual_one(kernel: str):
    where = mesh(AUTO)
    cut = jax.shard_map(drop, mesh=where, in_specs=P("a"), out_specs=P("a"), axis_names={"a"})
    with pytest.raises(NotImplementedError, match="the compiler would partition the call"):
        jax.jit(cut)(X)


@every("dims", [(0,), (1,), (0, 1)], ids=str)
@xla_and_cpu
def test_shared_noise_is_shared_across_shards(served_by: str, dims: tuple[int, ...]):
    spec = P("a", "b")

    def function(x: jax.Array) -> jax.Array:
        return flaxnoise.dropout(KEY, x, 0.3, broadcast_dims=dims)

    cut = jax.shard_map(under(spec, function), mesh=mesh(AUTO), in_specs=spec, out_specs=spec)
    assert bits_equal(jax.jit(cut)(X), function(X))


@xla_and_cpu
def test_shards_of_one_element(served_by: str):
    spec, x = P("a", "b"), array(2, 4)
    cut = jax.shard_map(under(spec, drop), mesh=mesh(AUTO), in_specs=spec, out_specs=spec)
    assert bits_equal(jax.jit(cut)(x), drop(x))


@xla_and_cpu
def test_under_vmap_the_spec_speaks_of_one_example(served_by: str):
    def per_example(x: jax.Array) -> jax.Array:
        return jax.vmap(under(P("b"), drop))(x)

    spec = P("a", "b")
    cut = jax.shard_map(per_example, mesh=mesh(AUTO), in_specs=spec, out_specs=spec)
    assert bits_equal(jax.jit(cut)(X), jax.vmap(drop)(X))


@xla_and_cpu
def test_values_are_those_of_the_whole_array(served_by: str):
    spec = P("a", "b")

    def local() -> tuple[jax.Array, jax.Array]:
        with flaxnoise.local_shard(spec):
            shape = (4, 3, 5)
            return flaxnoise.random.bits(KEY, shape), flaxnoise.random.keep_mask(KEY, shape, 0.3)

    cut = jax.shard_map(local, mesh=mesh(AUTO), in_specs=(), out_specs=spec)
    words, mask = jax.jit(cut)()
    assert bits_equal(words, flaxnoise.random.bits(KEY, X.shape))
    assert bits_equal(mask, flaxnoise.random.keep_mask(KEY, X.shape, 0.3))


def test_without_it_every_shard_gets_the_same_noise():
    cut = jax.shard_map(drop, mesh=mesh(AUTO, a=8), in_specs=P("a"), out_specs=P("a"))
    rows = jax.jit(cut)(jnp.ones((8, 33)))
    assert bits_equal(rows, jnp.broadcast_to(drop(jnp.ones((1, 33))), rows.shape))


# Not philox4x32: jax cannot compile its fold_in for several CPU devices.
@every("impl", ["threefry2x32", "rbg", "unsafe_rbg", "threefry4x32"])
@both_kinds
def test_ranks_have_noise_of_their_own_and_a_tensor_parallel_group_shares_it(impl: str, kind):
    key, x, where = jax.random.key(7, impl=impl), jnp.ones((2, 4, 33)), mesh(kind)

    def local(key: jax.Array, x: jax.Array) -> jax.Array:
        return flaxnoise.dropout(flaxnoise.fold_in_axes(key, "a"), x, 0.5)

    spec = P("a", "b")
    cut = jax.shard_map(local, mesh=where, in_specs=(P(), spec), out_specs=spec)
    y = jax.device_get(jax.jit(cut)(key, put(x, where, *spec)))
    for rank in (0, 1):
        own = flaxnoise.dropout(jax.random.fold_in(key, rank), x[:1, :1], 0.5)[0, 0]
        assert all(bits_equal(y[rank, member], own) for member in range(4))
    assert not bits_equal(y[0], y[1])


def test_ranks_along_two_axes_count_in_the_order_given():
    def local(key: jax.Array) -> jax.Array:
        folded = flaxnoise.fold_in_axes(key, ("b", "a"))
        return flaxnoise.random.bits(folded, (1, 1))

    cut = jax.shard_map(local, mesh=mesh(EXPLICIT), in_specs=P(), out_specs=P("a", "b"))
    words = jax.device_get(jax.jit(cut)(KEY))
    for a in range(2):
        for b in range(4):
            own = flaxnoise.random.bits(jax.random.fold_in(KEY, 2 * b + a))
            assert words[a, b] == own


def test_mistakes_are_named():
    with pytest.raises(TypeError, match=r"local_shard: spec must be .*PartitionSpec, got 'a'"):
        under("a", drop)(X)
    cut = jax.shard_map(
        under(P(None, None, None, "a"), drop), mesh=mesh(AUTO), in_specs=P(), out_specs=P()
    )
    with pytest.raises(ValueError, match="at most as many dimensions as x, which has 3"):
        cut(X)
