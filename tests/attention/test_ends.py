"""Rates 0 and 1, traced and wrong rates, fully masked rows, sizes of 0 and 1: never NaN."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

import flaxnoise
from attention_cases import KEY, normal
from every import every

Q, K, V = normal(2, 9, 4, 8), normal(2, 11, 2, 8, seed=1), normal(2, 11, 2, 6, seed=2)
BLOCKS = {"block_sizes": (4, 8)}


@jax.jit
def at_rate(rate: jax.Array, q=Q, k=K, v=V):
    """Returns the result and its gradients at a traced rate."""
    y, pull = jax.vjp(
        lambda rate, *x: flaxnoise.dot_product_attention(KEY, *x, rate, **BLOCKS), rate, q, k, v
    )
    return y, *pull(jnp.ones_like(y))


@functools.partial(jax.jit, static_argnums=0)
def at_static_rate(rate: float, key=KEY):
    y, pull = jax.vjp(lambda *x: flaxnoise.dot_product_attention(key, *x, rate, **BLOCKS), Q, K, V)
    return y, *pull(jnp.ones_like(y))


@every("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_rate_1_is_zero_with_zero_gradients(dtype):
    arrays = [x.astype(dtype) for x in (Q, K, V)]
    for result in at_rate(jnp.float32(1), *arrays):
        np.testing.assert_array_equal(result, jnp.zeros_like(result))


def test_static_and_traced_rates_are_the_same():
    for rate in (1.0, 0.3):
        y, _, *gradients = at_rate(jnp.float32(rate))
        for own, expected in zip((y, *gradients), at_static_rate(rate), strict=True):
            # Two programs, in which the compiler may fuse the sums of 11 or 9 terms differently.
            np.testing.assert_allclose(own, expected, rtol=0, atol=11 * 2.0**-22)


def test_rate_0_is_attention_without_dropout_and_needs_no_key():
    y, _, *gradients = at_rate(jnp.float32(0))
    program = str(jax.make_jaxpr(lambda: at_static_rate(0.0, None))())
    assert "flaxnoise_affine" not in program
    plain = jax.nn.dot_product_attention(Q, K, normal(2, 11, 2, 8, seed=2))
    for own, expected in zip((y, *gradients), at_static_rate(0.0, None), strict=True):
        np.testing.assert_allclose(own, expected, rtol=0, atol=11 * 2.0**-22)
    ours = flaxnoise.dot_product_attention(None, Q, K, normal(2, 11, 2, 8, seed=2), 0)
    np.testing.assert_allclose(ours, plain, rtol=0, atol=11 * 2.0**-22)


def test_the_rate_has_no_gradient_and_wrong_traced_rates_count_as_the_nearest():
    assert at_rate(jnp.float32(0.3))[1] == 0
    for wrong, right in ((-1.0, 0.0), (2.0, 1.0), (np.nan, 1.0)):
        for own, expected in zip(
            at_rate(jnp.float32(wrong)), at_rate(jnp.float32(right)), strict=True
        ):
            np.testing.assert_array_equal(own, expected)


# Each masks all keys for row 4 of example 1, and leaves some for every other row.
_SEEN = np.ones((2, 1, 9, 11), bool)
_SEEN[1, 0, 4] = False
BLIND = {
    "mask": {"mask": jnp.asarray(_SEEN)},
    "minus_infinity": {"bias": jnp.where(_SEEN, 0.0, -jnp.inf)},
    "least_float": {"bias": jnp.where(_SEEN, 0.0, jnp.finfo(jnp.float32).min)},
    "segments": {
        "segment_ids": (
            jnp.zeros((2, 9), int).at[1, 4].set(1),
            jnp.zeros((2, 11), int),
        )
    },
}


@every(("how", "rate"), [*((how, 0.3) for how in BLIND), ("mask", 0.0)])
def test_a_row_that_sees_no_key_is_zero_without_gradient(how: str, rate: float):
    def function(q, k, v):
        return flaxnoise.dot_product_attention(
            KEY, q, k, v, rate, return_residual=True, **BLIND[how], **BLOCKS
        )

    @jax.jit
    def with_gradients(q, k, v):
        (y, lse), pull = jax.vjp(function, q, k, v)
        return y, lse, *pull((jnp.ones_like(y), jnp.ones_like(lse)))

    y, lse, dq, dk, dv = with_gradients(Q, K, V)
    np.testing.assert_array_equal(y[1, 4], 0)
    np.testing.assert_array_equal(dq[1, 4], 0)
    assert np.all(lse[1, 4] == -np.inf)
    assert np.isfinite(lse).sum() == lse.size - 4
    assert all(np.isfinite(x).all() for x in (y, dq, dk, dv))
    # The masked key and query contribute nothing.
    other = with_gradients(Q.at[1, 4].set(100.0), K, V)[0]
    np.testing.assert_array_equal(y, other)


def test_lengths_of_0_and_windows_that_reach_no_key():
    for options in (
        {"key_value_seq_lengths": jnp.asarray([0, 11])},
        {"query_seq_lengths": jnp.asarray([0, 9])},
    ):
        y = flaxnoise.dot_product_attention(KEY, Q, K, V, 0.3, **options, **BLOCKS)
        np.testing.assert_array_equal(y[0], 0)
        assert np.all(np.abs(y[1]).sum((1, 2)) > 0)
    late = flaxnoise.dot_product_attention(
        KEY, normal(1, 30, 2, 8), K[:1], V[:1], 0.0, local_window_size=2, **BLOCKS
    )
    np.testing.assert_array_equal(late[0, 13:], 0)
    assert np.all(np.abs(late[0, :13]).sum((1, 2)) > 0)


@every("sizes", [(2, 0, 5, 2), (2, 5, 0, 2), (0, 5, 5, 2), (1, 1, 1, 1)], ids=str)
def test_sizes_of_0_and_1(sizes):
    b, t, s, n = sizes
    q, k, v = normal(b, t, n, 4), normal(b, s, n, 4), normal(b, s, n, 3)

    @jax.jit
    def with_gradients(*x):
        y, pull = jax.vjp(lambda *x: flaxnoise.dot_product_attention(KEY, *x, 0.3), *x)
        return y, *pull(jnp.ones_like(y))

    y, *gradients = with_gradients(q, k, v)
    assert y.shape == (b, t, n, 3)
    for gradient, x in zip(gradients, (q, k, v), strict=True):
        assert gradient.shape == x.shape
        assert np.isfinite(gradient).all()
    if s == 0:
        np.testing.assert_array_equal(y, 0)


@functools.partial(jax.jit, static_argnums=0)
def with_bias(scale: float, bias: jax.Array):
    def function(*x):
        *x, bias = x
        return flaxnoise.dot_product_attention(KEY, *x, 0.3, bias=bias, scale=scale, **BLOCKS)

    y, pull = jax.vjp(function, Q, K, V, bias)
    return y, *pull(jnp.cos(y))


@every("shared", [100.0, -1e9, 1e9, -1e29])
def test_a_bias_that_all_keys_share_changes_neither_results_nor_gradients(shared: float):
    # At scale 0, so that no score is rounded. 100 is beyond the logarithm of the largest float32.
    plain = with_bias(0.0, jnp.zeros((11,)))
    for own, expected in zip(with_bias(0.0, jnp.full((11,), shared)), plain, strict=True):
        np.testing.assert_array_equal(own, expected)


def test_infinite_scores_are_seen_as_nan():
    assert np.isnan(flaxnoise.dot_product_attention(KEY, Q * jnp.nan, K, V, 0.3)).all()


@every("size", [2**31 - 1, 2**31, 2**70])
def test_a_window_larger_than_any_sequence_is_none(size: int):
    expected = flaxnoise.dot_product_attention(KEY, Q, K, V, 0.3)
    y = flaxnoise.dot_product_attention(KEY, Q, K, V, 0.3, local_window_size=size)
    assert jnp.array_equal(y, expected)


def test_a_bias_of_minus_infinity_hides_a_key_under_a_soft_cap_as_well():
    mask = normal(1, 1, 9, 11) > 0
    bias = jnp.where(mask, 0.0, -jnp.inf)
    how = {"logits_soft_cap": 2.0, **BLOCKS}
    hidden = flaxnoise.dot_product_attention(KEY, Q, K, V, 0.3, bias=bias, **how)
    masked = flaxnoise.dot_product_attention(KEY, Q, K, V, 0.3, mask=mask, **how)
    np.testing.assert_array_equal(hidden, masked)
    slope = jax.grad(
        lambda bias: flaxnoise.dot_product_attention(KEY, Q, K, V, 0.3, bias=bias, **how).sum()
    )(bias)
    assert bool(jnp.isfinite(slope).all())
    assert bool((slope[~mask] == 0).all())
