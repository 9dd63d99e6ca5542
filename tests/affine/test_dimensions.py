"""Operands of incompatible shapes raise an error that names them."""

import jax.numpy as jnp
import pytest

from cases import KEY, array
from flaxnoise.affine import affine
from flaxnoise.arguments import key_words


def test_dimensions_that_do_not_fit_are_named():
    operands = {"key": key_words(KEY), "x": array(3, 33), "b": jnp.ones((1, 7))}
    with pytest.raises(ValueError, match=r"^flaxnoise: dimensions .* do not fit each other\."):
        affine(operands, kind="normal", shape=(3, 33), dtype=jnp.float32)
