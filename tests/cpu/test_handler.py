"""A wrong call of the handler returns an error that names handler, argument and value."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from every import every
from flaxnoise.backends import cpu

KEY = jnp.arange(4, dtype=jnp.uint32)
X = jnp.ones((3, 5))
ONE = jnp.float32(1)
KTXB = np.int64(0b101101)  # key, threshold, x and b of key, start, threshold, x, a, b, c and d


def call(*operands, result=X, **attributes):
    given = {"kind": "keep", "operands": KTXB, "global_shape": np.array([3, 5], np.int64)}
    given.update(attributes)
    shape = jax.ShapeDtypeStruct(result.shape, result.dtype)
    return jax.ffi.ffi_call(cpu.TARGET, shape)(*operands, **given)


THRESHOLD = jnp.uint32(1 << 30)
WRONG = {
    "unknown kind": (lambda: call(KEY, THRESHOLD, X, ONE, kind="salt"), "kind"),
    "unknown operand": (lambda: call(KEY, THRESHOLD, X, ONE, operands=KTXB | 256), "operands"),
    "too few operands": (lambda: call(KEY, THRESHOLD, X), "operands"),
    "no operands": (lambda: call(operands=np.int64(0)), "operands|key"),
    "key of two words": (lambda: call(KEY[:2], THRESHOLD, X, ONE), "key"),
    "key of floats": (lambda: call(KEY.astype(jnp.float32), THRESHOLD, X, ONE), "key"),
    "signed threshold": (lambda: call(KEY, jnp.int32(1), X, ONE), "threshold"),
    "x of another shape": (lambda: call(KEY, THRESHOLD, X[:2], ONE), "x"),
    "x of another dtype": (lambda: call(KEY, THRESHOLD, X.astype(jnp.bfloat16), ONE), "x"),
    "integer coefficient": (lambda: call(KEY, THRESHOLD, X, jnp.int32(1)), "b"),
    "array of coefficients": (lambda: call(KEY, THRESHOLD, X, jnp.ones(7)), "b"),
    "global shape of another rank": (
        lambda: call(KEY, THRESHOLD, X, ONE, global_shape=np.array([15], np.int64)),
        "global_shape",
    ),
    "negative global shape": (
        lambda: call(KEY, THRESHOLD, X, ONE, global_shape=np.array([3, -5], np.int64)),
        "global_shape",
    ),
}


@every("name", WRONG)
def test_a_wrong_call_raises_and_names_the_argument(name):
    function, argument = WRONG[name]
    with pytest.raises(Exception, match=rf"flaxnoise_affine: ({argument})\b.*got"):
        jax.block_until_ready(function())


def test_a_right_call_of_the_same_form_passes():
    jax.block_until_ready(call(KEY, THRESHOLD, X, ONE))
