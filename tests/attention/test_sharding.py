"""On eight devices: batch and heads without communication, the sequence as a ring, one mask."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import PartitionSpec

import flaxnoise
from attention_cases import KEY, normal
from every import every
from meshes import AUTO, EXPLICIT, Program, both_kinds, mesh, put

P = PartitionSpec
Q, K, V = normal(4, 24, 8, 8), normal(4, 24, 4, 8, seed=1), normal(4, 24, 4, 6, seed=2)
DY = normal(4, 24, 8, 6, seed=3)
LENGTHS = jnp.asarray([24, 5, 17, 1])
# Sums of up to 24·2 products of numbers below 16, in different order.
SUMS = 48 * 16 * 2.0**-24
BLOCKS = {"block_sizes": (8, 12)}


def attention(q, k, v, **options):
    options = {"is_causal": True, "key_value_seq_lengths": LENGTHS, **BLOCKS, **options}
    return flaxnoise.dot_product_attention(KEY, q, k, v, 0.3, **options)


def with_gradients(function):
    def program(q, k, v, dy):
        y, pull = jax.vjp(function, q, k, v)
        return y, *pull(dy)

    return program


EXPECTED = jax.jit(with_gradients(attention))(Q, K, V, DY)


def assert_expected(results, tolerance=SUMS):
    for own, expected in zip(results, EXPECTED, strict=True):
        np.testing.assert_allclose(
            jax.device_get(own), expected, rtol=0, atol=tolerance * np.abs(expected).max()
        )


@every("spec", [("a", None, "b"), (("a", "b"),), (None, None, "b")], ids=str)
@both_kinds
def test_batch_and_heads_without_communication(kind, spec):
    """The dropout mask begins at the start of the shard."""
    where = mesh(kind, a=2, b=2 if spec == (("a", "b"),) else 4)
    arrays = [put(x, where, *spec) for x in (Q, K, V, DY)]
    with jax.set_mesh(where):
        program = Program(with_gradients(attention), *arrays)
    assert_expected(program.result)
    assert not program.collectives
    for own, x in zip(program.result, (DY, Q, K, V), strict=True):
        assert own.sharding.is_equivalent_to(put(x, where, *spec).sharding, 4)


@both_kinds
def test_queries_sharded_along_the_sequence(kind):
    """As in context parallelism, every device has all keys."""
    where = mesh(kind, a=2, b=4)
    q, dy = (put(x, where, "a", "b") for x in (Q, DY))
    k, v = (put(x, where, "a") for x in (K, V))
    with jax.set_mesh(where):
        program = Program(attention, q, k, v)
        assert_expected(jax.jit(with_gradients(attention))(q, k, v, dy))
    np.testing.assert_allclose(jax.device_get(program.result), EXPECTED[0], rtol=0, atol=SUMS)
    if kind == EXPLICIT:
        assert not program.collectives


@every("heads", [1, 2])
def test_heads_of_keys_that_do_not_divide_over_the_devices(heads: int):
    where = mesh(EXPLICIT, a=2, b=4)
    k, v = K[:, :, :heads], V[:, :, :heads]
    with jax.set_mesh(where):
        y = jax.jit(attention)(put(Q, where, "a", None, "b"), put(k, where, "a"), put(v, where))
    np.testing.assert_allclose(jax.device_get(y), attention(Q, k, v), rtol=0, atol=SUMS)


@every("check_vma", [True, False])
@every("shared", [True, False])
def test_local_shard_gives_each_device_its_part_of_the_mask(check_vma: bool, shared: bool):
    where, spec = mesh(AUTO, a=2, b=4), P("a", None, "b")
    options = {"broadcast_dropout": shared, "key_value_seq_lengths": None}

    def local(q, k, v):
        with flaxnoise.local_shard(spec):
            return attention(q, k, v, **options)

    sharded = jax.shard_map(local, mesh=where, in_specs=spec, out_specs=spec, check_vma=check_vma)
    results = jax.jit(with_gradients(sharded))(Q, K, V, DY)
    expected = jax.jit(with_gradients(lambda *x: attention(*x, **options)))(Q, K, V, DY)
    for own, other in zip(results, expected, strict=True):
        np.testing.assert_allclose(jax.device_get(own), other, rtol=0, atol=SUMS * abs(other).max())
    program = Program(sharded, Q, K, V)
    assert not program.collectives


def ring(q, k, v, axis: str):
    """Ring attention over a sequence that is sharded along a mesh axis.

    Each step adds the keys of one device; partial results are combined by their log-sum-exp.
    """
    me, devices = lax.axis_index(axis), lax.axis_size(axis)
    passed_on = [(i, (i + 1) % devices) for i in range(devices)]
    total, lse = None, None
    for turn in range(devices):
        part, own = flaxnoise.dot_product_attention(
            KEY,
            q,
            k,
            v,
            0.3,
            is_causal=True,
            key_value_seq_lengths=lax.dynamic_slice_in_dim(
                LENGTHS, lax.axis_index("a") * q.shape[0], q.shape[0]
            ),
            key_value_shard=((me - turn) % devices, devices),
            return_residual=True,
            **BLOCKS,
        )
        if total is None:
            total, lse = part, own
        else:
            joined = jnp.logaddexp(lse, own)
            # Where no key was visible so far, both are −inf and their difference is NaN.
            mine, theirs = (
                jnp.where(jnp.isinf(x), 0, jnp.exp(jnp.where(jnp.isinf(x), 0, x) - joined))
                for x in (lse, own)
            )
            total = total * mine[..., None] + part * theirs[..., None]
            lse = joined
        k, v = (lax.ppermute(x, axis, passed_on) for x in (k, v))
    return total


@both_kinds
def test_a_ring_is_one_device(kind):
    where, spec = mesh(kind, a=2, b=4), P("a", "b")

    def local(q, k, v):
        with flaxnoise.local_shard(spec):
            return ring(q, k, v, "b")

    sharded = jax.shard_map(local, mesh=where, in_specs=spec, out_specs=spec)
    arrays = [put(x, where, "a", "b") for x in (Q, K, V, DY)]
    with jax.set_mesh(where):
        assert_expected(jax.jit(with_gradients(sharded))(*arrays), tolerance=2 * SUMS)


def test_a_spec_that_shards_the_size_of_heads_is_refused():
    where = mesh(AUTO, a=2, b=4)

    def local(q):
        with flaxnoise.local_shard(P(None, None, None, "a")):
            return flaxnoise.dot_product_attention(KEY, q, q, q, 0.3)

    spec = P(None, None, None, "a")
    with pytest.raises(ValueError, match="must not shard the last dimension of query"):
        jax.shard_map(local, mesh=where, in_specs=spec, out_specs=spec)(Q)


@both_kinds
def test_per_example_keys_on_sharded_examples(kind):
    where = mesh(kind, a=4, b=2)
    keys = jax.random.split(KEY, 4)

    def one(key, q, k, v):
        return flaxnoise.dot_product_attention(key, q, k, v, 0.3, **BLOCKS)

    expected = jax.vmap(one)(keys, Q, K, V)
    with jax.set_mesh(where):
        arrays = [put(x, where, "a") for x in (Q, K, V)]
        y = jax.jit(jax.vmap(one))(put(keys, where, "a"), *arrays)
    np.testing.assert_allclose(jax.device_get(y), expected, rtol=0, atol=SUMS)
