"""However x is sharded, each element has the noise of one device, and the output its sharding."""

import functools
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, PartitionSpec

import flaxnoise
from cases import KEY, array
from closeness import assert_within_ulps
from every import every
from meshes import Program, bits_equal, both_kinds, every_backend, mesh, put, xla_and_cpu

P = PartitionSpec
X = array(24, 56, 3)  # more than a chunk of 1024 on each device
SPECS = [
    P(),
    P("a", "b"),
    P("b", "a"),
    P(None, "b"),
    P(("a", "b")),
    P(None, ("b", "a")),
]
SIZES = {"a": 2, "b": 4}


def local_shape(spec: PartitionSpec, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Returns the shape of the shard of a device."""
    entries = [(names,) if isinstance(names, str) else names or () for names in spec]
    entries += [()] * (len(shape) - len(entries))
    parts = [math.prod(SIZES[name] for name in entry) for entry in entries]
    return tuple(size // part for size, part in zip(shape, parts, strict=True))


def two_noises(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    return flaxnoise.dropout(KEY, x, 0.3), flaxnoise.gaussian_noise(KEY, x, 0.3)


def shared_masks(x: jax.Array) -> list[jax.Array]:
    shared = [(0,), (1,), (0, 1)]
    return [flaxnoise.dropout(KEY, x, 0.3, broadcast_dims=dims) for dims in shared]


@functools.cache
def whole(function: Callable) -> Sequence[jax.Array]:
    """Returns the results on a single device."""
    return jax.jit(function)(X)


@every("spec", SPECS, ids=str)
@both_kinds
@every_backend
def test_noise_and_place_of_each_element_are_the_same(
    served_by: str, kind: AxisType, spec: PartitionSpec
):
    x = put(X, mesh(kind), *spec)
    program = Program(two_noises, x)
    mask, normal = whole(two_noises)
    assert bits_equal(program.result[0], mask)
    assert_within_ulps(program.result[1], normal, abs(X))
    assert all(y.sharding.is_equivalent_to(x.sharding, x.ndim) for y in program.result)
    assert not program.collectives
    assert program.shards == (set() if served_by == "xla" else {local_shape(spec, X.shape)})


@every("spec", SPECS[1:4], ids=str)
@both_kinds
@xla_and_cpu
def test_noise_shared_along_a_dimension_is_shared_by_the_devices(
    served_by: str, kind: AxisType, spec: PartitionSpec
):
    x = put(X, mesh(kind), *spec)
    program = Program(shared_masks, x)
    for y, expected in zip(program.result, whole(shared_masks), strict=True):
        assert bits_equal(y, expected)
        assert y.sharding.is_equivalent_to(x.sharding, x.ndim)
    assert not program.collectives
    assert bool(program.shards) == (served_by != "xla")


@both_kinds
@every_backend
def test_shards_of_one_element(served_by: str, kind: AxisType):
    x = array(2, 4)
    program = Program(lambda x: flaxnoise.dropout(KEY, x, 0.3), put(x, mesh(kind), "a", "b"))
    assert bits_equal(program.result, flaxnoise.dropout(KEY, x, 0.3))
    assert program.shards == (set() if served_by == "xla" else {(1, 1)})
    assert not program.collectives


@both_kinds
@xla_and_cpu
def test_arrays_without_dimensions_or_elements(served_by: str, kind: AxisType):
    def functions(scalar: jax.Array, empty: jax.Array) -> tuple[jax.Array, jax.Array]:
        return flaxnoise.dropout(KEY, scalar, 0.3), flaxnoise.dropout(KEY, empty, 0.3)

    where = mesh(kind)
    program = Program(functions, put(2.0, where), put(jnp.ones((0, 3)), where, "a"))
    assert bits_equal(program.result[0], flaxnoise.dropout(KEY, jnp.float32(2), 0.3))
    assert program.result[1].shape == (0, 3)
    assert not program.collectives


@both_kinds
@xla_and_cpu
def test_parameters_per_channel_are_cut_like_the_channels(served_by: str, kind: AxisType):
    """The gradient in stddev is summed over the other axis; nothing else is communicated."""
    weights, stddev = array(24, 56, seed=1), jnp.linspace(0.1, 1, 56)

    def function(x: jax.Array, stddev: jax.Array, weights: jax.Array) -> tuple[jax.Array, ...]:
        y = flaxnoise.gaussian_noise(KEY, x, stddev)
        _, vjp = jax.vjp(lambda x, stddev: flaxnoise.gaussian_noise(KEY, x, stddev), x, stddev)
        return y, *vjp(weights)

    x, where = X[..., 0], mesh(kind)
    cut = put(x, where, "a", "b"), put(stddev, where, "b"), put(weights, where, "a", "b")
    program = Program(function, *cut)
    y, dx, dstddev = jax.jit(function)(x, stddev, weights)
    assert_within_ulps(program.result[0], y, abs(x))
    assert bits_equal(program.result[1], dx)
    # 24 terms, summed in different order: 23 roundings besides the normals' own.
    assert_within_ulps(program.result[2], dstddev, 5 * abs(weights).sum(0), ulps=8 + 23)
    assert program.result[1].sharding.is_equivalent_to(cut[0].sharding, 2)
    assert program.result[2].sharding.is_equivalent_to(cut[1].sharding, 1)
    assert program.collectives == {"all-reduce"}
    assert program.shards == (set() if served_by == "xla" else {(12, 14)})


@both_kinds
@xla_and_cpu
@every("cut_x", [True, False], ids=["x", "rate"])
def test_gradients_are_cut_like_x_and_parameter_where_those_differ(
    served_by: str, kind: AxisType, cut_x: bool
):
    x, rate, where = X[..., 0], jnp.linspace(0.1, 0.9, 56), mesh(kind)

    def total(x: jax.Array, rate: jax.Array) -> jax.Array:
        return jnp.sum(flaxnoise.gaussian_dropout(KEY, x, rate))

    gradient = jax.jit(jax.grad(total, (0, 1)))
    cut = put(x, where, *(("a", "b") if cut_x else ())), put(rate, where, *("b" * (not cut_x)))
    (dx, drate), (whole_dx, whole_drate) = gradient(*cut), gradient(x, rate)
    assert_within_ulps(dx, whole_dx, 1)
    # d√(r/(1 − r))/dr < 17 here and |n| < 6.7; 24 terms, summed in different order.
    assert_within_ulps(drate, whole_drate, 17 * 6.7 * abs(x).sum(0), ulps=8 + 23)
    if kind is AxisType.Explicit:  # else the compiler may choose
        assert dx.sharding.is_equivalent_to(cut[0].sharding, 2)
        assert drate.sharding.is_equivalent_to(cut[1].sharding, 1)
