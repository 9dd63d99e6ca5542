"""Part 1 of the demo: layer and function agree, and each does what the table's heading says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from demo_parts import forward_table

X = jnp.arange(10.0).reshape(5, 2)
KEY = jax.random.key(3)


@pytest.mark.parametrize("name", forward_table.CASES)
def test_layers_equal_their_function(name: str):
    function, linen, nnx = forward_table.outputs(forward_table.CASES[name], KEY, X)
    np.testing.assert_array_equal(linen, function)
    np.testing.assert_array_equal(nnx, function)


def test_layers_do_different_things():
    found = {
        name: np.asarray(case.function(KEY, X)).tobytes()
        for name, case in forward_table.CASES.items()
    }
    assert len(set(found.values())) == len(found)
    assert found["StopGradient()"] == np.asarray(X).tobytes()
    assert not any(found["Dropout(1.0)"])
