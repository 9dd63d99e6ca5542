"""jvp, linearize and linear_transpose."""

import jax

from cases import KEY, Case, array, every_case, few_cases

X, DX = array(5, 33), array(5, 33, seed=1)


@few_cases
def test_jvp_equals_that_of_the_reference(case: Case):
    def push(f) -> tuple[jax.Array, jax.Array]:
        return jax.jit(lambda x, dx: jax.jvp(lambda x: f(KEY, x), (x,), (dx,)))(X, DX)

    (y, dy), (expected_y, expected_dy) = push(case), push(case.expected)
    case.assert_equal(y, expected_y, X)
    case.assert_equal(dy, expected_dy, DX)


@every_case
def test_jvp_in_everything_at_once_equals_that_of_the_reference(case: Case):
    tangents = (DX, *(0.5 for _ in case.params))

    def push(f) -> jax.Array:
        def moved(x: jax.Array, *params: jax.Array) -> jax.Array:
            return f(KEY, x, *params)

        return jax.jit(lambda *primals: jax.jvp(moved, primals, tangents)[1])(X, *case.params)

    # The tangent is the sum of dx·dy/dx and the parameters' terms, of the size of x and y.
    terms = 4 * (abs(DX) + abs(X) + abs(case(KEY, X)))
    case.assert_equal(push(case), push(case.expected), terms, factors=2)


@few_cases
def test_linearize_gives_a_map_for_many_tangents(case: Case):
    y, push = jax.linearize(lambda x: case(KEY, x), X)
    case.assert_equal(y, jax.jit(case.expected)(KEY, X), X)
    for tangent in (DX, X):
        case.assert_equal(push(tangent), case.tangent(KEY, X, tangent), tangent)


@few_cases
def test_linear_transpose_of_the_linear_part(case: Case):
    """The map is its own transpose, element by element."""

    def linear(dx: jax.Array) -> jax.Array:
        return jax.jvp(lambda x: case(KEY, x), (X,), (dx,))[1]

    (transposed,) = jax.jit(jax.linear_transpose(linear, DX))(DX)
    case.assert_equal(transposed, jax.jit(linear)(DX), DX)


@few_cases
def test_transpose_of_the_transpose_is_the_map_itself(case: Case):
    def linear(dx: jax.Array) -> jax.Array:
        return jax.jvp(lambda x: case(KEY, x), (X,), (dx,))[1]

    def transposed(dy: jax.Array) -> jax.Array:
        return jax.linear_transpose(linear, DX)(dy)[0]

    (twice,) = jax.linear_transpose(transposed, DX)(DX)
    case.assert_equal(twice, linear(DX), DX)
