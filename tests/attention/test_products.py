"""Products of matrices and their derivatives equal einsum's, and transpose no weights."""

import jax
import jax.numpy as jnp
import numpy as np

from attention_cases import normal
from every import every
from flaxnoise.functional.attention.products import product

# Form → the same as an einsum, and the shapes of the matrices.
FORMS = {
    "x·y": ("...ij,...jk->...ik", (5, 3), (3, 7)),
    "x·yᵀ": ("...ij,...kj->...ik", (5, 3), (7, 3)),
    "xᵀ·y": ("...ij,...ik->...jk", (5, 3), (5, 7)),
}


def both(form: str):
    """Returns our product, and einsum's."""
    formula = FORMS[form][0]
    return (lambda x, y: product(form, x, y, x.dtype)), (lambda x, y: jnp.einsum(formula, x, y))


def close(ours, theirs):
    """Sums of up to seven products of integers below 2^12: exact in float32."""
    for own, expected in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_array_equal(own, expected)


def integers(*shape: int, seed: int) -> jax.Array:
    return jnp.round(4 * normal(*shape, seed=seed))


@every("batch", [(), (2,), (2, 4)], ids=str)
@every("form", FORMS)
def test_derivatives_of_any_order(form: str, batch):
    ours, theirs = both(form)
    _, first, second = FORMS[form]
    x, y = integers(*batch, *first, seed=1), integers(*batch, *second, seed=2)

    def derivatives(function):
        def gradients(x, y):
            z, pull = jax.vjp(function, x, y)
            return pull(2 * z)

        along = jax.jvp(gradients, (x, y), (jnp.ones_like(x), -jnp.ones_like(y)))
        return function(x, y), gradients(x, y), along

    close(derivatives(ours), derivatives(theirs))


@every("axes", [(0, 0), (2, 1), (None, 0), (1, None)], ids=str)
@every("form", FORMS)
def test_vmap(form: str, axes):
    ours, theirs = both(form)
    arrays = [
        integers(2, *shape, seed=i) if axis is None else integers(*_with(shape, axis), seed=i)
        for i, (shape, axis) in enumerate(zip(FORMS[form][1:], axes, strict=True))
    ]
    close(*(jax.jit(jax.vmap(function, axes))(*arrays) for function in (ours, theirs)))


def _with(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    """Inserts an axis of size 3 into (2, *shape)."""
    whole = (2, *shape)
    return (*whole[:axis], 3, *whole[axis:])


def test_the_gradient_of_keys_transposes_no_weights():
    """As that of lax.dot_general does, which puts the cotangent of the weights first."""
    q, k = (jax.ShapeDtypeStruct((2, 4, *size), jnp.float32) for size in ((256, 16), (16, 512)))

    def lowered(function) -> str:
        gradient = jax.grad(lambda q, k: jnp.exp(function(q, k)).sum(), argnums=1)
        return jax.jit(gradient).lower(q, k).as_text()

    ours, theirs = map(lowered, both("x·y"))
    assert "(tensor<2x4x256x16xf32>, tensor<2x4x256x512xf32>) -> tensor<2x4x16x512xf32>" in ours
    assert "transpose" not in ours
    assert "transpose" in theirs
