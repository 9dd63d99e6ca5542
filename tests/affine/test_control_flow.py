"""scan, while_loop, fori_loop, cond, switch and lax.map, and their gradients."""

import jax
import jax.numpy as jnp
from jax import lax

from cases import KEY, Case, array, every_case, few_cases

STEPS = 3
KEYS = jax.random.split(KEY, STEPS)
X, WEIGHTS = array(5, 7), array(STEPS, 5, 7, seed=1)


@every_case
def test_scan_draws_what_the_loop_draws(case: Case):
    """Each step's output is checked against one call on the step's input."""

    def step(x: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        y = case(key, x)
        return y, y

    last, ys = jax.jit(lambda x: lax.scan(step, x, KEYS))(X)
    assert jnp.array_equal(last, ys[-1])
    for key, x, y in zip(KEYS, (X, *ys[:-1]), ys, strict=True):
        case.assert_equal(y, case(key, x), x)


@few_cases
def test_gradient_through_a_scan(case: Case):
    """The gradient in each step's x, and in the arguments that all steps share."""

    def loss(xs: jax.Array, stop: float) -> jax.Array:
        def step(total: jax.Array, args: tuple) -> tuple[jax.Array, None]:
            key, x, w = args
            return total + jnp.vdot(w, case(key, x)) * stop, None

        return lax.scan(step, 0.0, (KEYS, xs, WEIGHTS))[0]

    xs = jnp.stack([X, 2 * X, 3 * X])
    found = jax.jit(jax.grad(loss))(xs, 1.0)
    for i in range(STEPS):
        case.assert_equal(found[i], case.tangent(KEYS[i], xs[i], WEIGHTS[i]), WEIGHTS[i])


@few_cases
def test_gradient_through_the_carry_of_a_scan(case: Case):
    def loss(x: jax.Array) -> jax.Array:
        y, _ = lax.scan(lambda x, key: (case(key, x), None), x, KEYS)
        return jnp.vdot(WEIGHTS[0], y)

    found = jax.jit(jax.grad(loss))(X)
    expected, terms = WEIGHTS[0], abs(WEIGHTS[0])
    for key in reversed(KEYS):
        terms *= 1 + abs(case.tangent(key, X, jnp.ones_like(X)))
        expected = case.tangent(key, X, expected)
    case.assert_equal(found, expected, terms, factors=STEPS)


@few_cases
def test_while_loop_and_its_forward_derivative(case: Case):
    def run(x: jax.Array) -> jax.Array:
        def body(state: tuple) -> tuple:
            i, _, x = state
            return i + 1, x, case(jax.random.fold_in(KEY, i), x)

        return lax.while_loop(lambda state: state[0] < STEPS, body, (0, x, x))[1:]

    (before, y), (dx, dy) = jax.jit(lambda x, dx: jax.jvp(run, (x,), (dx,)))(X, WEIGHTS[0])
    last = jax.random.fold_in(KEY, STEPS - 1)
    case.assert_equal(y, case(last, before), before)
    case.assert_equal(dy, case.tangent(last, before, dx), dx)


@few_cases
def test_fori_loop_and_its_gradient(case: Case):
    def run(x: jax.Array) -> jax.Array:
        def body(i: jax.Array, ys: jax.Array) -> jax.Array:
            return ys.at[i].set(case(KEYS[i], x[i]))

        return lax.fori_loop(0, STEPS, body, jnp.zeros_like(x))

    xs = jnp.stack([X, 2 * X, 3 * X])
    ys, pull = jax.vjp(jax.jit(run), xs)
    (found,) = pull(WEIGHTS)
    for i in range(STEPS):
        case.assert_equal(ys[i], case(KEYS[i], xs[i]), xs[i])
        case.assert_equal(found[i], case.tangent(KEYS[i], xs[i], WEIGHTS[i]), WEIGHTS[i])


@few_cases
def test_cond_and_its_gradient(case: Case):
    def run(noisy: jax.Array, x: jax.Array) -> jax.Array:
        return lax.cond(noisy, lambda x: case(KEY, x), lambda x: x, x)

    @jax.jit
    def value_and_slope(noisy: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        y, pull = jax.vjp(lambda x: run(noisy, x), x)
        return y, pull(WEIGHTS[0])[0]

    y, slope = value_and_slope(True, X)
    case.assert_equal(y, case(KEY, X), X)
    case.assert_equal(slope, case.tangent(KEY, X, WEIGHTS[0]), WEIGHTS[0])
    y, slope = value_and_slope(False, X)
    assert jnp.array_equal(y, X)
    assert jnp.array_equal(slope, WEIGHTS[0])


@few_cases
def test_map_alone_and_in_batches(case: Case):
    """A batch size that does not divide makes lax.map run a scan of vmaps and a remainder."""
    xs = jnp.stack([X, 2 * X, 3 * X])
    call = lambda args: case(*args)  # noqa: E731
    for ys in (
        jax.jit(lambda xs: lax.map(call, (KEYS, xs)))(xs),
        jax.jit(lambda xs: lax.map(call, (KEYS, xs), batch_size=2))(xs),
    ):
        for key, x, y in zip(KEYS, xs, ys, strict=True):
            case.assert_equal(y, case(key, x), x)


@few_cases
def test_vmapped_cond_runs_both_branches_and_selects(case: Case):
    def run(noisy: jax.Array, x: jax.Array) -> jax.Array:
        return lax.cond(noisy, lambda x: case(KEY, x), lambda x: x, x)

    noisy = jnp.array([True, False])
    ys = jax.jit(jax.vmap(run))(noisy, jnp.stack([X, X]))
    case.assert_equal(ys[0], case(KEY, X), X)
    assert jnp.array_equal(ys[1], X)
