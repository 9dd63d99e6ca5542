"""Draws and derived keys are the same under every transform, mode, sharding and backend."""

from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import flaxnoise
from every import every
from flaxnoise import random
from flaxnoise.backends import cpu
from meshes import available, bits_equal, both_kinds, mesh, put

KEY = random.key(3)
KEYS = jax.random.split(KEY, 8)
DRAWS = (("uint8", (3, 7)), ("uint8", (8, 64)), ("uint16", (3, 7)), ("uint32", (8, 64)))
Tree = Any


def everything(key: jax.Array) -> Tree:
    """Returns all derivations of a key, and bits of shapes that do and do not fill whole words."""
    drawn = [jax.random.bits(key, shape, dtype) for dtype, shape in DRAWS]
    keys = [
        jax.random.split(key, (2, 3)),
        jax.random.fold_in(key, 2**32 - 1),
        jax.random.fold_in(jax.random.split(key)[1], drawn[-1][0, 0]),
        random.key(drawn[-1][0, 1]),
    ]
    return drawn, [jax.random.key_data(k) for k in keys]


def assert_same(found: Tree, expected: Tree) -> None:
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    assert all(bits_equal(a, b) for a, b in pairs)


def stacked(trees: list[Tree]) -> Tree:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


@pytest.fixture(scope="module")
def expected() -> Tree:
    return everything(KEY)


@pytest.fixture(scope="module")
def each_expected() -> Tree:
    """The result of ``everything`` for several keys, by a loop."""
    one = jax.jit(everything)
    return stacked([one(key) for key in KEYS])


def kernels(function: Any, *arguments: Any) -> int:
    """Counts the calls of the compiled kernel in a lowered function."""
    return jax.jit(function).lower(*arguments).as_text().count(f"@{cpu.TARGET}")


def test_jit(expected: Tree):
    assert_same(jax.jit(everything)(KEY), expected)


def test_without_jit(expected: Tree):
    with jax.disable_jit():
        assert_same(everything(KEY), expected)


def test_vmap_over_keys_is_the_loop(each_expected: Tree):
    assert_same(jax.vmap(everything)(KEYS), each_expected)
    nested = jax.jit(jax.vmap(jax.vmap(everything)))(KEYS.reshape(2, 4))
    assert_same(jax.tree.map(lambda leaf: leaf.reshape(8, *leaf.shape[2:]), nested), each_expected)


def test_one_key_under_vmap_draws_the_same_for_all():
    drawn = jax.vmap(lambda x: x + jax.random.uniform(KEY, x.shape))(jnp.zeros((3, 33)))
    assert bits_equal(drawn, jnp.stack([jax.random.uniform(KEY, (33,))] * 3))


def test_vmap_over_numbers_and_over_both_is_the_loop():
    numbers = jnp.arange(8)

    def folded(keys: jax.Array, numbers: jax.Array) -> jax.Array:
        return jax.random.key_data(jax.vmap(jax.random.fold_in)(keys, numbers))

    loop = [jax.random.key_data(jax.random.fold_in(k, n)) for n, k in enumerate(KEYS)]
    assert bits_equal(folded(KEYS, numbers), jnp.stack(loop))
    one = jax.vmap(lambda n: jax.random.key_data(jax.random.fold_in(KEY, n)))(numbers)
    assert bits_equal(
        one, jnp.stack([jax.random.key_data(jax.random.fold_in(KEY, n)) for n in range(8)])
    )


def test_loops_and_checkpoints(each_expected: Tree):
    scanned = jax.jit(lambda keys: jax.lax.scan(lambda _, key: (None, everything(key)), None, keys))
    assert_same(scanned(KEYS)[1], each_expected)
    mapped = jax.jit(lambda keys: jax.lax.map(jax.checkpoint(everything), keys))
    assert_same(mapped(KEYS), each_expected)


def test_64_bit_mode(expected: Tree):
    with jax.enable_x64(True):
        assert_same(everything(KEY), expected)
        assert_same(jax.jit(everything)(KEY), expected)


def test_64_bits_under_vmap_are_the_loop():
    with jax.enable_x64(True):
        drawn = jax.vmap(lambda key: jax.random.bits(key, (3, 5), "uint64"))(KEYS)
        loop = jnp.stack([jax.random.bits(key, (3, 5), "uint64") for key in KEYS])
        assert drawn.dtype == "uint64"
        assert bits_equal(drawn, loop)


@pytest.mark.parametrize("backend", ["xla", "cpu"])
def test_backends(backend: str, each_expected: Tree):
    with flaxnoise.backend(available(backend)):
        assert (kernels(everything, KEY) > 0) == (backend == "cpu")
        assert_same(jax.jit(jax.vmap(everything))(KEYS), each_expected)


def test_the_kernel_serves_where_nothing_is_asked_for():
    available("cpu")
    assert kernels(lambda key: jax.random.normal(key, (33, 129)), KEY) == 1
    assert kernels(lambda key: jax.random.fold_in(key, 1), KEY) == 1


@both_kinds
def test_keys_sharded_over_devices(kind: jax.sharding.AxisType, each_expected: Tree):
    """jax's own philox4x32 keys do not support fold_in here."""
    devices = mesh(kind)
    with jax.set_mesh(devices):
        keys = put(KEYS, devices, ("a", "b"))
        drawn = jax.jit(jax.vmap(everything))(keys)
        assert_same(drawn, each_expected)
        folded = jax.jit(jax.vmap(lambda key: jax.random.fold_in(key, 1)))(keys)
        assert folded.sharding == NamedSharding(devices, P(("a", "b")))


@both_kinds
def test_one_key_and_arrays_sharded_over_devices(kind: jax.sharding.AxisType):
    def drop(key: jax.Array, x: jax.Array) -> jax.Array:
        keep = jax.random.bernoulli(jax.random.fold_in(key, 1), 0.7, x.shape)
        return jnp.where(keep, x, 0)

    x = jnp.ones((8, 33))
    devices = mesh(kind)
    with jax.set_mesh(devices):
        dropped = jax.jit(drop)(KEY, put(x, devices, "a"))
        assert dropped.sharding.spec[0] == "a"
        assert bits_equal(dropped, drop(KEY, x))


def test_an_array_drawn_as_shards():
    devices = mesh(jax.sharding.AxisType.Explicit)
    with jax.set_mesh(devices):
        sharding = NamedSharding(devices, P("a", "b"))
        for draw in (jax.random.normal, jax.random.bits):
            drawn = jax.jit(lambda key, draw=draw: draw(key, (8, 64), out_sharding=sharding))(KEY)
            assert drawn.sharding == sharding
            assert bits_equal(drawn, draw(KEY, (8, 64)))


def test_inside_shard_map_a_key_draws_alike_everywhere_and_a_sharded_one_its_own(
    each_expected: Tree,
):
    devices = mesh(jax.sharding.AxisType.Auto)

    def local(key: jax.Array, keys: jax.Array) -> tuple[Tree, Tree]:
        with flaxnoise.local_shard(P("a")):  # only concerns arrays of flaxnoise's functions
            return jax.random.bits(key, (3, 7))[None], jax.vmap(everything)(keys)

    cut = P(("a", "b"))
    run = jax.shard_map(local, mesh=devices, in_specs=(P(), cut), out_specs=(cut, cut))
    same, own = jax.jit(run)(KEY, KEYS)
    assert bits_equal(same, jnp.stack([jax.random.bits(KEY, (3, 7))] * 8))
    assert_same(own, each_expected)


def test_kernels_partitioned_over_automatic_axes(each_expected: Tree):
    flaxnoise.partition_kernels()
    try:
        devices = mesh(jax.sharding.AxisType.Auto)

        def drop(keys: jax.Array, x: jax.Array) -> Tree:
            return jax.vmap(everything)(keys), flaxnoise.dropout(keys[0], x, 0.3)

        x = put(jnp.ones((8, 33)), devices, "a")
        drawn, _ = jax.jit(drop)(put(KEYS, devices, ("a", "b")), x)
        assert_same(drawn, each_expected)
    finally:
        flaxnoise.partition_kernels(enable=False)


def by_words(words: jax.Array) -> Tree:
    return everything(jax.random.wrap_key_data(words, impl=random.IMPL))


def test_an_exported_program_takes_the_words(expected: Tree):
    """jax can only export key arguments of its oldest implementations."""
    exported = jax.export.export(jax.jit(by_words), platforms=("cpu", "cuda", "tpu"))
    words = jax.random.key_data(KEY)
    again = jax.export.deserialize(exported(words).serialize())
    assert_same(again.call(words), expected)


@every("dtype", ["uint8", "uint16", "uint32"])
def test_a_shape_that_is_not_known_when_exported(dtype: str):
    def draw(words: jax.Array, x: jax.Array) -> jax.Array:
        key = jax.random.wrap_key_data(words, impl=random.IMPL)
        return jax.random.bits(key, x.shape, dtype)

    words = jax.random.key_data(KEY)
    x = jax.ShapeDtypeStruct(jax.export.symbolic_shape("n, m"), jnp.float32)
    exported = jax.export.export(jax.jit(draw))(words, x)
    assert bits_equal(exported.call(words, jnp.ones((3, 7))), jax.random.bits(KEY, (3, 7), dtype))
