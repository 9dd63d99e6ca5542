"""Values and gradients equal those of softmax, attention_dropout and a weighted sum."""

import jax
import jax.numpy as jnp
import numpy as np

from attention_cases import KEY, Attention, normal
from every import every

BF16, F16 = jnp.bfloat16, jnp.float16
# Segments and sequences end inside tiles; no length is a multiple of a block.
SEGMENTS = (
    jnp.asarray([[0] * 20 + [1] * 13, [0] * 5 + [2] * 28]),
    jnp.asarray([[0] * 9 + [1] * 36, [0] * 30 + [2] * 15]),
)
LENGTHS = {
    "query_seq_lengths": jnp.asarray([30, 7]),
    "key_value_seq_lengths": jnp.asarray([41, 3]),
}
MASK = jnp.asarray(np.random.default_rng(5).random((2, 1, 33, 45)) < 0.6)
ROWS = jnp.asarray(np.random.default_rng(6).random((1, 4, 33, 1)) < 0.8)

# Every pair of compatible options is in some row.
CASES = {
    "plain": Attention(),
    "one_tile": Attention(blocks=None, options={"bias": (1, 4, 33, 45), "mask": MASK}),
    "no_dropout": Attention(rate=0.0, options={"bias": (2, 1, 1, 45), "is_causal": True}),
    "causal_lengths_shared": Attention(
        options={"is_causal": True, "broadcast_dropout": True, **LENGTHS}
    ),
    "window_segments_cap": Attention(
        options={"local_window_size": (9, 4), "segment_ids": SEGMENTS, "logits_soft_cap": 1.3}
    ),
    "bias_mask_cap_scale": Attention(
        options={"bias": (2, 4, 33, 45), "mask": ROWS, "logits_soft_cap": 2.0, "scale": 0.7}
    ),
    "bias_of_rows_lengths_window": Attention(
        options={"bias": (1, 1, 33, 1), "local_window_size": 7, "scale": -0.3, **LENGTHS}
    ),
    "bias_of_keys_causal_segments": Attention(
        options={"bias": (45,), "is_causal": True, "segment_ids": SEGMENTS, "mask": MASK}
    ),
    "multi_query": Attention(
        sizes=(1, 50, 17, 6, 1, 8, 8), blocks=(7, 5), options={"is_causal": True}
    ),
    "multi_head_wide": Attention(
        sizes=(1, 5, 1030, 2, 2, 8, 8), rate=0.5, blocks=(5, 1024), options={"bias": (2, 5, 1030)}
    ),
    "bfloat16": Attention(dtype=BF16, options={"is_causal": True, "bias": (1, 4, 33, 45)}),
    "float16": Attention(dtype=F16, options={"local_window_size": (20, 3), **LENGTHS}),
    "bfloat16_shared_cap": Attention(
        dtype=BF16, options={"broadcast_dropout": True, "logits_soft_cap": 3.0, "mask": MASK}
    ),
}


def with_gradients(function, cotangents, *arrays):
    """Returns (y, lse) and the gradients of all arrays; a −inf in lse has no gradient."""
    (y, lse), pull = jax.vjp(function, *arrays)
    dy, dlse = cotangents
    return y, lse, *pull((dy.astype(y.dtype), jnp.where(jnp.isinf(lse), 0, dlse.astype(lse.dtype))))


@every("name", CASES)
def test_values_and_gradients(name: str):
    """Tolerances allow sums in any order.

    An element is a sum of at most max(T·G, S) products, each factor a sum of D terms; in float32
    its error is at most as many roundings as terms. With 16-bit arrays the weights, their gradients
    and the results are rounded too: four roundings to that dtype.
    """
    case = CASES[name]
    arrays = case.arrays()
    b, t, s, n, k, d, dv = case.sizes
    cotangents = normal(b, t, n, dv, seed=11), normal(b, t, n, seed=12)
    actual = jax.jit(lambda *x: with_gradients(lambda *x: case.ours(KEY, *x), cotangents, *x))(
        *arrays
    )
    keep, scale = case.keep(KEY)
    with jax.enable_x64(True):
        wide = [jnp.asarray(np.asarray(x, np.float64)) for x in (*arrays, *cotangents)]
        expected = jax.jit(
            lambda keep, *x: with_gradients(lambda *x: case.exact(keep, scale, *x), x[-2:], *x[:-2])
        )(keep, *wide)
    terms = max(t * n // k, s) + d
    eps = float(jnp.finfo(case.dtype).eps)
    for position, (own, reference) in enumerate(zip(actual, expected, strict=True)):
        own, reference = np.asarray(own, np.float64), np.asarray(reference)
        assert own.shape == reference.shape
        np.testing.assert_array_equal(np.isinf(own), np.isinf(reference))
        finite = np.isfinite(reference)
        size = np.abs(reference[finite]).max()
        allowed = size * (terms * 2.0**-24 + (4 * eps if eps > 1e-6 else 0))
        error = np.abs(own[finite] - reference[finite]).max()
        assert error <= allowed, f"output {position}: {error / allowed:.2g} times the allowed error"
