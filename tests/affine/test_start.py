"""The primitive from any start index, as in shards and long arrays, against the reference."""

import jax
import jax.numpy as jnp

import flaxnoise
import reference
from cases import KEY, Case, array, few_cases
from flaxnoise.affine import affine
from flaxnoise.arguments import key_words


def test_rows_of_a_shard_are_rows_of_the_whole():
    """Rows 3 to 5 of an array of 7 rows."""
    x = array(7, 33)
    whole = flaxnoise.dropout(KEY, x, 0.3)
    operands = {
        "key": key_words(KEY),
        "start": jnp.array([3 * 33, 0], jnp.uint32),
        "threshold": jnp.array([[reference.threshold(0.3)]], jnp.uint32),
        "x": x[3:6],
        "b": jnp.array([[1 / (1 - flaxnoise.random.realised_rate(0.3))]], jnp.float32),
    }
    part = affine(operands, kind="keep", shape=(3, 33), global_shape=(7, 33), dtype=x.dtype)
    assert jnp.array_equal(part, whole[3:6])


@few_cases
def test_an_array_of_2_to_the_36_elements_is_lowered(case: Case):
    """Only lowered, not run; the program has 64-bit index arithmetic without 64-bit mode."""
    x = jax.ShapeDtypeStruct((2**12, 2**24), jnp.bfloat16)
    assert jax.eval_shape(case, KEY, x).shape == x.shape
    with flaxnoise.backend("xla"):
        text = jax.jit(case).lower(KEY, x).as_text()
    assert "tensor<4096x16777216xui64>" in text
    with flaxnoise.backend("xla"):
        text = jax.jit(case).lower(KEY, jax.ShapeDtypeStruct((2**8, 2**24), x.dtype)).as_text()
    assert "iota" in text
    assert not [line for line in text.splitlines() if "iota" in line and "ui64" in line]
