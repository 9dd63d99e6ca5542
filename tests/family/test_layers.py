"""Layers of the structured functions equal their functions, in both APIs."""

import jax
import jax.numpy as jnp
import numpy as np

import flaxnoise
from cases import KEY, array
from every import every
from layer_table import Api, every_api
from structured_cases import STRUCTURED

EXTRA = [
    ("FeatureAlphaDropout", flaxnoise.feature_alpha_dropout, array(3, 5, 33), {"rate": 0.3}),
    ("DropBlock1D", flaxnoise.drop_block_1d, array(3, 9, 5), {"rate": 0.3, "block_size": 3}),
    (
        "DropBlock2D",
        flaxnoise.drop_block_2d,
        array(3, 9, 7, 5),
        {"rate": 0.3, "block_size": (3, 2)},
    ),
    ("DropBlock3D", flaxnoise.drop_block_3d, array(3, 4, 5, 6, 5), {"rate": 0.3, "block_size": 2}),
    (
        "TokenDropout",
        flaxnoise.token_dropout,
        jnp.arange(99).reshape(3, 33),
        {"rate": 0.3, "mask_id": 7, "protected": (1, 2)},
    ),
]
ROWS = [
    *((c.layer, c.function, array(*c.shape), {"rate": 0.3, **c.options}) for c in STRUCTURED),
    *EXTRA,
]
every_row = every("row", ROWS, ids=lambda row: "-".join(map(str, (row[0], *row[3].values()))))


LAYERS = {
    "AttentionDropout",
    "DropBlock1D",
    "DropBlock2D",
    "DropBlock3D",
    "DropPath",
    "FeatureAlphaDropout",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "TokenDropout",
    "WordDropout",
}


def test_rows_are_those_layers():
    assert {row[0] for row in ROWS} == LAYERS


def run(api: Api, row, fields, **call):
    name, _, x, _ = row
    return api.call(getattr(api.layers, name), fields, x, **call)


@every_api
@every_row
def test_layer_is_its_function(api: Api, row):
    _, function, x, fields = row
    y = function(KEY, x, **fields)
    np.testing.assert_array_equal(run(api, row, fields, key=KEY), y)
    np.testing.assert_array_equal(
        run(api, row, fields, stream=KEY), function(api.first_key(KEY), x, **fields)
    )
    assert run(api, row, fields, deterministic=True) is x
    options = {name: value for name, value in fields.items() if name != "rate"}
    traced = jax.jit(lambda rate: run(api, row, options, key=KEY, rate=rate))
    np.testing.assert_array_equal(traced(0.5), function(KEY, x, **{**fields, "rate": 0.5}))
    np.testing.assert_array_equal(run(api, row, {**fields, "rate": 0.0}), x)
