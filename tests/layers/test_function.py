"""A layer equals its function with a key from the stream, bit for bit, in both APIs."""

import inspect

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from every import every
from layer_table import ROWS, Api, Row, every_api, every_row, two_rows

STREAM = jax.random.key(5)
KEY = jax.random.key(8)
X = jax.random.normal(jax.random.key(3), (33, 129))
IMPLEMENTATIONS = ("threefry2x32", "rbg", "unsafe_rbg", "philox2x32", "philox4x32", "threefry4x32")

pytestmark = [every_api]


@every_row
def test_layer_is_the_function_with_the_key_of_its_stream(api: Api, row: Row):
    y = api.run(row, X, stream=STREAM)
    np.testing.assert_array_equal(y, row.function(api.first_key(STREAM), X, **row.fields))
    assert not np.array_equal(y, row.function(STREAM, X, **row.fields))


@every("implementation", IMPLEMENTATIONS)
def test_streams_of_every_key_implementation_serve(api: Api, implementation: str):
    row = ROWS[0]
    stream = jax.random.key(5, impl=implementation)
    y = api.run(row, X, stream=stream)
    np.testing.assert_array_equal(y, row.function(api.first_key(stream), X, **row.fields))


@two_rows
def test_given_key_is_used_as_it_is_and_wins_over_the_streams(api: Api, row: Row):
    y = row.function(KEY, X, **row.fields)
    np.testing.assert_array_equal(api.run(row, X, key=KEY), y)
    np.testing.assert_array_equal(api.run(row, X, stream=STREAM, key=KEY), y)
    np.testing.assert_array_equal(api.run(row, X, key=jax.random.key_data(KEY)), y)
    of_flax = {"linen": "rng", "nnx": "rngs"}[api.name]
    np.testing.assert_array_equal(api.run(row, X, **{of_flax: KEY}), y)
    np.testing.assert_array_equal(api.run(row, X, key=KEY, **{of_flax: STREAM}), y)


@every_row
def test_parameters_given_at_call_time_win(api: Api, row: Row):
    given = {name: value / 2 for name, value in row.fields.items()}
    y = row.function(KEY, X, **given)
    np.testing.assert_array_equal(api.run(row, X, key=KEY, **given), y)
    np.testing.assert_array_equal(api.run(row, X, key=KEY, fields={}, **given), y)
    one = dict(list(given.items())[:1])
    y = row.function(KEY, X, **{**row.fields, **one})
    np.testing.assert_array_equal(api.run(row, X, key=KEY, **one), y)


@two_rows
def test_none_at_call_time_leaves_the_field(api: Api, row: Row):
    y = row.function(KEY, X, **row.fields)
    np.testing.assert_array_equal(api.run(row, X, key=KEY, **dict.fromkeys(row.fields)), y)


@every("row", [row for row in ROWS if row.is_shared], ids=str)
def test_broadcast_dims_are_those_of_the_function(api: Api, row: Row):
    for dims in (0, (-2, -1)):
        y = api.run(row, X, key=KEY, fields={**row.fields, "broadcast_dims": dims})
        np.testing.assert_array_equal(y, row.function(KEY, X, **row.fields, broadcast_dims=dims))


@every_row
def test_shape_and_dtype_are_those_of_the_inputs(api: Api, row: Row):
    x = X.astype(jnp.bfloat16)
    y = api.run(row, x, stream=STREAM)
    chex.assert_trees_all_equal_shapes_and_dtypes(y, x)


@every_row
def test_evaluation_returns_the_inputs_themselves(api: Api, row: Row):
    odd = jnp.array([jnp.nan, -jnp.nan, jnp.inf, -0.0, 1e-45], jnp.float32)
    integers = jnp.arange(5)
    for x in (odd, integers):
        assert api.run(row, x, deterministic=True) is x
        assert api.run(row, x, stream=STREAM, key=KEY, deterministic=True) is x
        assert api.run(row, x, fields={}, deterministic=True) is x


@every_row
def test_call_takes_the_parameters_of_its_function_and_no_others(api: Api, row: Row):
    call = inspect.signature(api.layer(row).__call__).parameters
    assert set(row.fields) <= set(call)
    assert all(call[name].kind is inspect.Parameter.KEYWORD_ONLY for name in row.fields)
    assert inspect.Parameter.VAR_KEYWORD not in {each.kind for each in call.values()}
    for deterministic in (True, False):
        with pytest.raises(TypeError, match="unexpected keyword argument 'share'"):
            api.run(row, X, key=KEY, deterministic=deterministic, share=0.3)


@every_row
def test_positional_arguments_come_in_the_order_of_the_function(api: Api, row: Row):
    by_position = api.layer(row)(*row.fields.values())
    assert {name: getattr(by_position, name) for name in row.fields} == row.fields
