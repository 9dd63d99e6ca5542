"""Types of the primitive: weak types, NumPy integers as sizes, conflicting shardings."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

import flaxnoise
from cases import KEY
from every import every
from flaxnoise.affine import affine
from flaxnoise.arguments import key_words

OPERANDS = {"key": key_words(KEY), "b": jnp.full((1,), 2.0)}


def scaled(x: jax.Array, dtype=None) -> jax.Array:
    """x·b·n, n normal."""
    return affine({**OPERANDS, "x": x}, kind="normal", shape=(7,), dtype=dtype or x.dtype)


def is_weak(x: jax.Array | jax.ShapeDtypeStruct) -> bool:
    return x.weak_type


def test_a_weak_type_is_kept_by_every_rule():
    weak, strong = jnp.full((7,), 1.0), jnp.ones(7)
    assert is_weak(weak)
    assert not is_weak(strong)
    for x in (weak, strong):
        batch = jnp.broadcast_to(x, (3, 7))
        y, dy = jax.jit(lambda x: jax.jvp(scaled, (x,), (x,)))(x)
        (dx,) = jax.jit(lambda x: jax.vjp(scaled, x)[1](scaled(x)))(x)
        looped = jax.jit(lambda x: jax.lax.scan(lambda x, _: (scaled(x), None), x, None, 3)[0])(x)
        found = [scaled(x), y, dy, dx, looped, jax.vmap(scaled)(batch), jax.eval_shape(scaled, x)]
        assert [is_weak(value) for value in found] == [is_weak(x)] * len(found)


def test_a_result_of_another_type_than_x_is_strong():
    assert not is_weak(scaled(jnp.full((7,), 1.0), jnp.bfloat16))
    n = affine({"key": key_words(KEY)}, kind="normal", shape=(7,), dtype=jnp.float32)
    assert not is_weak(n)


@every("size", [np.prod([4, 250]), np.int32(1000), np.array(1000)])
def test_a_numpy_integer_is_a_size_like_any_other(size):
    expected = flaxnoise.random.keep_mask(KEY, (1000,), 0.3)
    jax.clear_caches()
    assert jnp.array_equal(flaxnoise.random.keep_mask(KEY, (size,), 0.3), expected)
    assert jnp.array_equal(flaxnoise.random.keep_mask(KEY, size, 0.3), expected)
    with flaxnoise.backend("cpu"):  # refuses symbolic sizes
        traced = jax.make_jaxpr(lambda: flaxnoise.random.keep_mask(KEY, (1000,), 0.3))()
    assert "shape=(1000,)" in str(traced)
    operands = {"key": key_words(KEY)}
    call = jax.make_jaxpr(
        lambda: affine(
            operands, kind="normal", shape=(size,), global_shape=(size,), dtype=jnp.float32
        )
    )
    (equation,) = call().eqns
    for sizes in (equation.params["shape"], equation.params["global_shape"]):
        assert [type(own) for own in sizes] == [int]


def test_a_shape_may_be_a_numpy_array():
    for shape in (np.array([3, 4]), [np.int64(3), 4], range(3, 5)):
        assert flaxnoise.random.bits(KEY, shape).shape == (3, 4)
    for shape in ("34", [3.0], np.array([1.5]), None):
        with pytest.raises(TypeError, match=r"^bits: shape must be made of integers, got "):
            flaxnoise.random.bits(KEY, shape)


def test_a_start_above_2_to_the_32_needs_no_global_shape():
    start = 3 * 2**32 + 5
    words = jnp.array([start & 0xFFFFFFFF, start >> 32], jnp.uint32)
    far = {"key": key_words(KEY), "start": words}
    for backend in ("xla", None):
        bits = affine(far, kind="bits", shape=(9,), dtype=jnp.uint32, backend=backend)
        whole = {"shape": (9,), "global_shape": (1 << 40,)}
        assert jnp.array_equal(bits, affine(far, kind="bits", dtype=jnp.uint32, **whole))


def test_operands_may_be_larger_than_the_noise():
    """Even operands that the result does not depend on."""
    x, row = jnp.ones((3, 5)), jnp.full((1, 5), 0.5)
    for backend in ("xla", None):

        def call(backend=backend, **operands: jax.Array) -> jax.Array:
            operands = {"key": key_words(KEY), **operands}
            return affine(operands, kind="normal", shape=(1, 5), dtype=x.dtype, backend=backend)

        n = call()
        for operands, expected in (
            ({"x": x, "c": row}, jnp.broadcast_to(row, x.shape)),
            ({"x": x, "c": row, "d": row}, jnp.broadcast_to(0.5 + 0.5 * n, x.shape)),
            ({"x": x, "a": row}, 0.5 * x),
            ({"d": jnp.ones((3, 1))}, jnp.broadcast_to(n, x.shape)),
        ):
            y = jax.jit(call)(**operands)
            assert y.shape == x.shape
            np.testing.assert_array_max_ulp(np.asarray(y), np.asarray(expected), maxulp=8)


def test_a_gradient_is_exported_under_an_empty_mesh_with_a_device():
    """As in code for an absent device; without a mesh nothing is resharded."""
    device = jax.sharding.AbstractDevice(device_kind="cpu", num_cores=None, platform="cpu")
    empty = jax.sharding.AbstractMesh((), (), abstract_device=device)

    def loss(words: jax.Array, x: jax.Array, stddev: jax.Array) -> jax.Array:
        y = flaxnoise.gaussian_noise(words, x, stddev)
        return (flaxnoise.dropout(words, y, 0.3) + flaxnoise.dropout(words, x, 0.3)).sum()

    arguments = (jax.random.key_data(KEY), jnp.ones((3, 5)), jnp.full((5,), 0.5))
    slope = jax.jit(jax.grad(loss, argnums=(1, 2)))
    with jax.sharding.use_abstract_mesh(empty):
        program = jax.export.export(slope)(*arguments)
    for exported, own in zip(program.call(*arguments), slope(*arguments), strict=True):
        np.testing.assert_array_max_ulp(np.asarray(exported), np.asarray(own), maxulp=8)


def test_shardings_that_conflict_name_the_operands():
    mesh = jax.make_mesh((1,), ("d",), (AxisType.Explicit,))
    with jax.set_mesh(mesh):
        x = jax.device_put(jnp.ones((4, 8)), PartitionSpec("d"))
        stddev = jax.device_put(jnp.ones((8,)), PartitionSpec("d"))
        with pytest.raises(ValueError, match=r"^flaxnoise: a mesh axis must shard one dimension"):
            flaxnoise.gaussian_noise(KEY, x, stddev)
        with pytest.raises(ValueError, match=r"'d' for dimension 0 of x and 1 of the scale of the"):
            flaxnoise.gaussian_noise(KEY, x, stddev)
