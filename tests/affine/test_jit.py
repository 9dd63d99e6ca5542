"""Eager, jitted, and with jit disabled: the same values."""

import chex
import jax
import jax.numpy as jnp

from cases import KEY, Case, array, every_case


@every_case
def test_eager_and_jitted_calls_equal_the_reference(case: Case):
    x = array(33, 129)
    expected = jax.jit(case.expected)(KEY, x)
    case.assert_equal(case(KEY, x), expected, x)
    case.assert_equal(jax.jit(case)(KEY, x), expected, x)


@every_case
def test_disable_jit_changes_neither_value_nor_gradient(case: Case):
    x, weights = array(5, 33), array(5, 33, seed=1)

    def gradient(x: jax.Array) -> jax.Array:
        return jax.grad(lambda x: jnp.vdot(weights, case(KEY, x)))(x)

    value, slope = case(KEY, x), gradient(x)
    with jax.disable_jit():
        case.assert_equal(case(KEY, x), value, x)
        case.assert_equal(gradient(x), slope, weights)


@every_case
def test_eval_shape_needs_no_values(case: Case):
    shape = jax.ShapeDtypeStruct((5, 33), jnp.bfloat16)
    key = jax.eval_shape(lambda: KEY)
    y = jax.eval_shape(case, key, shape)
    assert (y.shape, y.dtype) == (shape.shape, shape.dtype)


@every_case
def test_traced_parameters_never_retrace(case: Case):
    x = array(5, 33)
    chex.clear_trace_counter()

    @jax.jit
    @chex.assert_max_traces(n=1)
    def step(key: jax.Array, x: jax.Array, *params: jax.Array) -> jax.Array:
        return jax.grad(lambda x: jnp.vdot(x, case(key, x, *params)))(x)

    for share in (1.0, 0.5, 0.25):
        y = step(KEY, x, *(share * value for value in case.params))
        assert jnp.isfinite(y).all()


@every_case
def test_traced_parameters_give_what_static_ones_give(case: Case):
    x = array(5, 33)
    traced = jax.jit(case)
    for share in (1.0, 0.5):
        params = [share * value for value in case.params]
        case.assert_equal(traced(KEY, x, *params), case(KEY, x, *params), x)


@every_case
def test_each_element_of_a_long_array_has_noise_of_its_own(case: Case):
    """An array longer than the chunks of 1024 of masks, all x equal: the noise never repeats."""
    y = case(KEY, jnp.ones(5 * 1024))
    chunks = y.reshape(-1, 512)
    assert len({chunk.tobytes() for chunk in jax.device_get(chunks)}) == len(chunks)
