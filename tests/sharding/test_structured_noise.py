"""Under local_shard, structured noise is that of the global array."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params
from jax.sharding import PartitionSpec

import flaxnoise
from cases import KEY, array
from meshes import AUTO, bits_equal, both_kinds, mesh, put, xla_and_cpu

P = PartitionSpec
Function = Callable[[jax.Array], jax.Array]
X = array(4, 8, 12, 8)
EVERY_DIMENSION = (P("b"), P(None, "a", "b"), P("a", None, None, "b"))


def block(side: int | tuple[int, int]) -> Function:
    return lambda x: flaxnoise.drop_block_2d(KEY, x, 0.4, block_size=side)


def noisy_dense(x: jax.Array) -> jax.Array:
    kernel, bias = array(8, 3, seed=1), array(3, seed=2)
    weights = (kernel, bias, kernel / 3, bias / 3)
    return sum(flaxnoise.noisy_dense(KEY, x, *weights, factorised=form) for form in (True, False))


Row = tuple[str, Function, tuple[PartitionSpec, ...]]
BLOCKS: list[Row] = [
    ("blocks of 3", block(3), (*EVERY_DIMENSION, P(None, ("b", "a")))),
    ("blocks larger than a shard", block((7, 5)), (P(None, "b", "a"), P(None, "a", "b"))),
    ("blocks larger than the map", block(20), (P(None, "b", "a"),)),
    (
        "blocks in one dimension",
        lambda x: flaxnoise.drop_block_1d(KEY, x, 0.4, block_size=3),
        (P(None, "a", "b"),),
    ),
]
OTHERS: list[Row] = [
    ("spatial", lambda x: flaxnoise.spatial_dropout_2d(KEY, x, 0.4), EVERY_DIMENSION),
    ("feature maps", lambda x: flaxnoise.feature_alpha_dropout(KEY, x, 0.4), EVERY_DIMENSION),
    ("rows", lambda x: flaxnoise.drop_path(KEY, x, 0.4), EVERY_DIMENSION),
    ("batch", lambda x: flaxnoise.drop_path(KEY, x, 0.4, mode="batch"), EVERY_DIMENSION),
    ("words", lambda x: flaxnoise.word_dropout(KEY, x, 0.4), EVERY_DIMENSION),
    (
        "attention",
        lambda x: flaxnoise.attention_dropout(KEY, x, 0.4, broadcast_dropout=True),
        EVERY_DIMENSION,
    ),
    (
        "tokens",
        lambda x: flaxnoise.token_dropout(KEY, (8 * x).astype(int), 0.4, mask_id=0, protected=(1,)),
        EVERY_DIMENSION,
    ),
    ("concrete", lambda x: flaxnoise.concrete_dropout(KEY, x, -1.0), EVERY_DIMENSION),
    (
        "concrete, shared",
        lambda x: flaxnoise.concrete_dropout(KEY, x, -1.0, broadcast_dims=(1, 3)),
        EVERY_DIMENSION,
    ),
    ("variational", lambda x: flaxnoise.variational_dropout(KEY, x, -1.0), EVERY_DIMENSION),
    ("salt and pepper", lambda x: flaxnoise.salt_and_pepper_noise(KEY, x, 0.4), EVERY_DIMENSION),
]


def sharded(function: Function, spec: PartitionSpec, kind=AUTO, *, check_vma: bool = True):
    def local(x: jax.Array) -> jax.Array:
        with flaxnoise.local_shard(spec):
            return function(x)

    return jax.shard_map(local, mesh=mesh(kind), in_specs=spec, out_specs=spec, check_vma=check_vma)


def rows(table: list[Row]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("function", "specs"), [row[1:] for row in table], ids=[row[0] for row in table]
    )


def assert_parts_of_the_whole(function: Function, specs: tuple[PartitionSpec, ...]) -> None:
    expected = jax.jit(function)(X)
    for spec in specs:
        assert bits_equal(jax.jit(sharded(function, spec))(X), expected), spec


@rows(BLOCKS)
@xla_and_cpu
def test_each_device_gets_its_part_of_the_blocks(
    served_by: str, function: Function, specs: tuple[PartitionSpec, ...]
):
    assert_parts_of_the_whole(function, specs)


@rows(OTHERS)
def test_each_device_gets_its_part_of_the_noise(
    function: Function, specs: tuple[PartitionSpec, ...]
):
    assert_parts_of_the_whole(function, specs)


def test_each_device_has_the_same_noisy_weights():
    expected = jax.jit(noisy_dense)(X)
    # Sums of 8 products of both forms: 32 roundings of what is largest. Other noise differs by 1.
    close = 32 * 2.0**-24 * float(abs(expected).max())
    for spec in (P("b"), P(None, "a", "b")):
        y = jax.jit(sharded(noisy_dense, spec))(X)
        np.testing.assert_allclose(y, expected, rtol=0, atol=close)


@both_kinds
def test_gradients_of_sharded_blocks_are_those_of_the_whole(kind):
    spec, function = P(None, "a", "b"), block((3, 5))

    def gradient(function: Function) -> Function:
        return jax.jit(lambda x: jax.vjp(function, x)[1](X)[0])

    expected = gradient(function)(X)
    assert (expected == 0).any()
    for check_vma in (True, False):
        over = sharded(function, spec, kind, check_vma=check_vma)
        assert bits_equal(gradient(over)(put(X, mesh(kind), *spec)), expected)


def test_blocks_of_a_shard_draw_the_places_of_a_shard_only():
    """Each device draws 8 + 2 of the 64 − 2 seed positions, not all of them."""
    x, drawn = jnp.ones((2, 64, 3)), []
    over = sharded(
        lambda x: flaxnoise.drop_block_1d(KEY, x, 0.4, block_size=3), P(None, ("a", "b"))
    )

    def visit(jaxpr) -> None:
        for equation in jaxpr.eqns:
            if equation.primitive.name == "flaxnoise_affine":
                drawn.append(equation.params["shape"])
            for inner in jaxprs_in_params(equation.params):
                visit(inner)

    visit(jax.make_jaxpr(over)(x).jaxpr)
    assert drawn == [(2, 10, 3)]


def test_inputs_of_noisy_dense_must_not_be_sharded():
    text = r"noisy_dense: x must not be sharded along its inputs .*, got a shard of 8 of 16 inputs"
    with pytest.raises(ValueError, match=text):
        sharded(noisy_dense, P(None, None, None, "a"))(array(4, 8, 12, 16))
