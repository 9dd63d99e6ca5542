"""broadcast_dims: the noise is shared along these dimensions."""

import jax
import jax.numpy as jnp
import numpy as np

from cases import KEY, Case, array, every_case, few_cases
from closeness import assert_same_bits
from every import every

X, WEIGHTS = array(3, 4, 5), array(3, 4, 5, seed=1)


@every_case
def test_equals_the_reference_in_value_and_gradient(case: Case):
    dims = (0, 2)

    @jax.jit
    def ours(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        y, pull = jax.vjp(lambda x: case.function(KEY, x, *case.params, broadcast_dims=dims), x)
        return y, pull(WEIGHTS)[0]

    @jax.jit
    def theirs(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        y, pull = jax.vjp(lambda x: case.reference(KEY, x, *case.params, broadcast_dims=dims), x)
        return y, pull(WEIGHTS)[0]

    (y, slope), (expected_y, expected_slope) = ours(X), theirs(X)
    case.assert_equal(y, expected_y, X)
    case.assert_equal(slope, expected_slope, WEIGHTS)


@every(
    ("dims", "normal"),
    [(1, (1,)), (-2, (1,)), ([1], (1,)), (np.int64(-2), (1,)), ((-1, 0), (0, 2)), ([], ())],
)
@few_cases
def test_integers_sequences_and_negatives_mean_the_same(case: Case, dims, normal):
    y = case.function(KEY, X, *case.params, broadcast_dims=dims)
    assert_same_bits(y, case.function(KEY, X, *case.params, broadcast_dims=normal))


@few_cases
def test_the_shared_noise_is_that_of_the_reduced_array(case: Case):
    """It is not the first slice of the noise of the full array."""
    x = jnp.broadcast_to(array(1, 4, 5), (3, 4, 5))
    y = case.function(KEY, x, *case.params, broadcast_dims=0)
    for example in y:
        case.assert_equal(example, case(KEY, x[:1])[0], x[0])


@every_case
def test_parameters_may_vary_along_shared_dimensions(case: Case):
    """Every row has the same noise and its own parameters."""
    rows = [[value * share for value in case.params] for share in (1.0, 0.5, 0.25)]
    params = [jnp.reshape(jnp.array(values), (3, 1, 1)) for values in zip(*rows, strict=True)]
    y = case.function(KEY, X, *params, broadcast_dims=0)
    for x, example, row in zip(X, y, rows, strict=True):
        case.assert_equal(example, case(KEY, x[None], *row)[0], x)


@few_cases
def test_under_vmap_dimensions_are_those_of_one_example(case: Case):
    def call(x: jax.Array) -> jax.Array:
        return case.function(KEY, x, *case.params, broadcast_dims=0)

    y = jax.vmap(call)(X)
    for example, x in zip(y, X, strict=True):
        case.assert_equal(example, call(x), x)
