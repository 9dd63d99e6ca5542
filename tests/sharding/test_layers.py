"""The layers on a mesh keep the promises of Flax's Dropout, and more."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen, nnx
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import flaxnoise
import flaxnoise.linen
import flaxnoise.nnx
from every import every
from layer_table import Api, Row, every_api, two_rows
from meshes import AUTO, EXPLICIT, Program, both_kinds, mesh, put

P = PartitionSpec
X = jnp.linspace(1, 2, 8 * 12).reshape(8, 12)
IMPLEMENTATIONS = ["threefry2x32", "rbg", "unsafe_rbg", "threefry4x32", "philox4x32"]


@two_rows
@every_api
@both_kinds
def test_a_layer_draws_on_a_mesh_what_it_draws_on_one_device(row: Row, api: Api, kind: AxisType):
    x = put(X, mesh(kind), "a", "b")
    alone = api.run(row, X, stream=jax.random.key(3))
    with jax.set_mesh(mesh(kind)):
        y = jax.jit(lambda x: api.run(row, x, stream=jax.random.key(3)))(x)
    assert y.sharding.is_equivalent_to(x.sharding, 2)
    # Multiplications and additions may be fused differently; the sum differs by a few ulps of x.
    row.case.assert_equal(jax.device_get(y), alone, X)


@every_api
def test_the_output_type_on_explicit_axes_is_the_inputs(api: Api):
    with jax.set_mesh(mesh(EXPLICIT)):
        x = jax.reshard(X, P("b", None))
        for dims in ((), (0,), (1,), (0, 1)):
            fields = {"rate": 0.5, "broadcast_dims": dims}
            y = dropout_layer(api, x, fields, jax.random.key(0))
            assert jax.typeof(y).sharding.spec == P("b", None)


def dropout_layer(api: Api, x: jax.Array, fields: dict[str, Any], key: jax.Array) -> jax.Array:
    if api.name == "linen":
        return flaxnoise.linen.Dropout(**fields).apply(
            {}, x, deterministic=False, rngs={"dropout": key}
        )
    return flaxnoise.nnx.Dropout(**fields, rngs=nnx.Rngs(dropout=key))(x)


def test_a_sharded_linen_model_is_the_whole_one():
    """Parameters and activations have Flax's annotations; the mask follows them."""

    class Model(linen.Module):
        @linen.compact
        def __call__(self, x: jax.Array) -> jax.Array:
            init = linen.with_partitioning(linen.initializers.lecun_normal(), (None, "b"))
            x = linen.Dense(16, kernel_init=init)(x)
            x = jax.lax.with_sharding_constraint(x, NamedSharding(mesh(AUTO), P("a", "b")))
            return flaxnoise.linen.Dropout(0.5, deterministic=False)(x)

    def forward(params: Any, x: jax.Array) -> jax.Array:
        return model.apply(params, x, rngs={"dropout": jax.random.key(1)})

    model, where = Model(), mesh(AUTO)
    boxed = model.init({"params": jax.random.key(0), "dropout": jax.random.key(1)}, X)
    shardings = jax.tree.map(
        lambda spec: NamedSharding(where, spec), linen.get_partition_spec(boxed)
    )
    cut = jax.tree.map(jax.device_put, linen.unbox(boxed), shardings)
    program = Program(forward, cut, put(X, where, "a"))
    whole = jax.jit(forward)(linen.unbox(boxed), put(X, where))
    np.testing.assert_array_equal(program.result == 0, whole == 0)
    assert program.result.sharding.is_equivalent_to(NamedSharding(where, P("a", "b")), 2)
    assert not program.collectives


def test_a_sharded_nnx_model_draws_one_mask_for_all_its_devices():
    """The mask over eight devices is not one small mask repeated eight times."""
    layer = flaxnoise.nnx.Dropout(0.5, rngs=nnx.Rngs(0))
    with jax.set_mesh(mesh(EXPLICIT)):
        y = layer(jax.reshard(jnp.ones((8, 1024)), P(("a", "b"), None)))
    rows = jax.device_get(y)
    assert len({row.tobytes() for row in rows}) == 8
    assert set(np.unique(rows)) == {0.0, 2.0}


@every("implementation", IMPLEMENTATIONS)
@both_kinds
def test_every_key_implementation(implementation: str, kind: AxisType):
    """The key is passed directly: jax's fold_in of philox4x32 keys fails on several CPU devices."""
    key = jax.random.key(3, impl=implementation)
    keys = jax.vmap(lambda seed: jax.random.key(seed, impl=implementation))(jnp.arange(8))

    def function(x: jax.Array, keys: jax.Array) -> tuple[jax.Array, jax.Array]:
        one = flaxnoise.dropout(key, x, 0.3)
        return one, jax.vmap(lambda key, x: flaxnoise.dropout(key, x, 0.3))(keys, x)

    where = mesh(kind)
    program = Program(function, put(X, where, "a", "b"), put(keys, where, "a"))
    for y, whole in zip(program.result, jax.jit(function)(X, keys), strict=True):
        np.testing.assert_array_equal(y, whole)
    assert not program.collectives
