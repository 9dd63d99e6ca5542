"""The attention kernels for TPUs, interpreted: mask, values, gradients, and what they refuse.

Where sizes are small, the kernels pad them to tiles of 128 queries and 512 keys.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import flaxnoise
import interpreted_tpu
from attention_cases import KEY, Attention, normal
from flaxnoise.backends import choice
from flaxnoise.backends.mosaic_tpu.attention import backward, tile
from flaxnoise.backends.mosaic_tpu.backend import MosaicTpu
from flaxnoise.stream.philox import philox4x32

BF16 = jnp.bfloat16
IDS = (
    jnp.asarray(np.random.default_rng(0).integers(0, 2, (2, 140))),
    jnp.asarray(np.random.default_rng(1).integers(0, 2, (2, 520))),
)
OPTIONS = {
    "local_window_size": (90, 400),
    "segment_ids": IDS,
    "mask": jnp.asarray(np.random.default_rng(5).random((2, 1, 140, 520)) < 0.6),
    "logits_soft_cap": 1.3,
    "bias": (1, 2, 1, 520),
    "query_seq_lengths": jnp.asarray([130, 5]),
    "key_value_seq_lengths": jnp.asarray([515, 3]),
}
# Sizes are B, T, S, N, K, D, Dv. Rows of keys start at a chunk, at a block, and anywhere.
CASES = {
    "chunks": Attention((1, 200, 2048, 2, 1, 8, 8), 0.3, (128, 1024), options={"is_causal": True}),
    "blocks": Attention((2, 140, 520, 2, 2, 16, 8), 0.3, None, options=OPTIONS),
    "anywhere": Attention((1, 5, 1033, 2, 2, 8, 8), 0.5, None, BF16, {"bias": (1, 1, 5, 1033)}),
    "shared": Attention((2, 33, 45, 3, 1, 8, 8), 0.1, None, options={"broadcast_dropout": True}),
    "no_dropout": Attention((1, 9, 45, 2, 1, 8, 8), 0.0, None, BF16, {"is_causal": True}),
}


@pytest.fixture(autouse=True)
def _interpreted(interpreted: None) -> None:
    """All calls use the kernels."""


def compiled(function, *arguments) -> Any:
    return jax.jit(function, compiler_options=interpreted_tpu.QUICK)(*arguments)


def weights(sizes: tuple[int, int, int, int], rate: Any, **options) -> tuple[Any, Any]:
    """Returns the weights [B, 1, T, S] of both passes, as in tests/attention/test_mask.py."""
    b, t, s = sizes[:3]
    q, keys = jnp.zeros((b, t, 1, 1)), jnp.zeros((b, s, 1, 1))
    identity, dy = (jnp.broadcast_to(jnp.eye(n)[:, None], (b, n, 1, n)) for n in (s, t))

    def both(rate: Any) -> Any:
        def of_values(values: jax.Array) -> jax.Array:
            return flaxnoise.dot_product_attention(KEY, q, keys, values, rate, **options)

        backward = jax.vjp(of_values, jnp.zeros((b, s, 1, t)))[1](dy)[0]
        return of_values(identity).transpose(0, 2, 1, 3), backward.transpose(0, 2, 3, 1)

    return compiled(both, jnp.float32(rate))


@pytest.mark.parametrize(
    "sizes", [(1, 150, 1024, 1), (1, 140, 516, 1), (2, 33, 45, 1)], ids=("chunk", "block", "any")
)
def test_mask_of_both_passes(sizes):
    b, t, s, _ = sizes
    expected = flaxnoise.random.keep_mask(KEY, (b, 1, t, s), 0.3)
    for own in weights(sizes, 0.3):
        np.testing.assert_array_equal(own != 0, expected)


@pytest.mark.parametrize("s", [12, 10])
def test_mask_beyond_2_to_32(s: int):
    """A shard of keys in a long sequence, with rows that start at a block or anywhere."""
    shards, queries = 1 << 20, 900
    whole = s * shards
    options = {"key_value_shard": (shards - 3, shards)}
    found = weights((1, queries, s, 1), 0.5, **options)
    with flaxnoise.backend("xla"):
        reference = weights((1, queries, s, 1), 0.5, **options)
    assert queries * whole > 1 << 32
    for own, other in zip(found, reference, strict=True):
        np.testing.assert_array_equal(own != 0, other != 0)


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_traced_rates_at_the_ends(rate: float):
    for own in weights((1, 5, 12, 1), rate):
        np.testing.assert_array_equal(own != 0, np.full(own.shape, rate == 0))


def passes(case: Attention, *arrays: jax.Array) -> Any:
    b, t, _, n, _, _, dv = case.sizes
    dy, dlse = normal(b, t, n, dv, seed=11), normal(b, t, n, seed=12)
    (y, lse), pull = jax.vjp(lambda *own: case.ours(KEY, *own), *arrays)
    return y, lse, *pull((dy.astype(y.dtype), jnp.where(jnp.isinf(lse), 0, dlse)))


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_those_of_the_blockwise_form(name: str):
    """Sums of the same terms in another order; in bfloat16, weights are rounded before products.

    An element sums max(T·N/K, S) products whose factors sum D terms, as in the tests of the form.
    """
    case = CASES[name]
    _, t, s, n, k, d, _ = case.sizes
    arrays = case.arrays()
    actual = compiled(lambda *own: passes(case, *own), *arrays)
    with flaxnoise.backend("xla"):
        expected = compiled(lambda *own: passes(case, *own), *arrays)
    eps = float(jnp.finfo(case.dtype).eps)
    for own, reference in zip(actual, expected, strict=True):
        assert (own.shape, own.dtype) == (reference.shape, reference.dtype)
        own, reference = (np.asarray(x, np.float64) for x in (own, reference))
        np.testing.assert_array_equal(np.isfinite(own), np.isfinite(reference))
        finite = np.isfinite(reference)
        size = np.abs(reference[finite]).max()
        rounding = (max(t * n // k, s) + d) * 2.0**-24 + (4 * eps if eps > 1e-6 else 0)
        assert np.abs(own[finite] - reference[finite]).max() <= size * rounding


def test_queries_that_see_no_key_get_zeros():
    q = jnp.ones((1, 3, 1, 8))
    mask = jnp.asarray([True, False, True])[:, None]

    def zeros(q: jax.Array) -> Any:
        function = lambda q: flaxnoise.dot_product_attention(KEY, q, q, q, 0.3, mask=mask)  # noqa: E731
        y, pull = jax.vjp(function, q)
        return y, pull(y)[0]

    y, dq = compiled(zeros, q)
    assert not y[0, 1].any()
    assert y.any()
    assert np.isfinite(dq).all()


def test_keys_per_example_and_second_derivatives():
    """vmap adds a dimension to the grid; further derivatives are those of the blockwise form."""
    q = normal(2, 1, 9, 1, 8)
    keys = jax.random.split(KEY, 2)

    def loss(key: jax.Array, q: jax.Array) -> jax.Array:
        return jnp.sum(jnp.sin(flaxnoise.dot_product_attention(key, q, q, q, 0.3)))

    def both(q: jax.Array) -> Any:
        gradient = lambda q: jax.vmap(jax.grad(loss, 1))(keys, q)  # noqa: E731
        return jax.jvp(gradient, (q,), (q,))

    actual = jax.tree.leaves(compiled(both, q))
    with flaxnoise.backend("xla"):
        expected = jax.tree.leaves(compiled(both, q))
    for own, other in zip(actual, expected, strict=True):
        # Sums of 9 keys and 8 features in another order, in the gradient and in its derivative.
        np.testing.assert_allclose(own, other, rtol=0, atol=64 * 2.0**-24 * np.abs(other).max())


def test_parts_of_a_long_sequence_of_queries(monkeypatch: pytest.MonkeyPatch):
    """The backward pass of 150 queries in two parts is that of all at once."""
    case = Attention(
        (1, 150, 45, 2, 1, 8, 8), 0.3, None, options={"is_causal": True, "bias": (1, 2, 150, 45)}
    )
    arrays = case.arrays()
    expected = compiled(lambda *own: passes(case, *own), *arrays)
    monkeypatch.setattr(backward, "RESIDENT_BYTES", 1)
    actual = compiled(lambda *own: passes(case, *own), *arrays)
    for own, other in zip(actual, expected, strict=True):
        # Keys sum the terms of 150 queries of 2 heads, after 8 features, in another order.
        np.testing.assert_allclose(own, other, rtol=0, atol=320 * 2.0**-24 * np.abs(other).max())


def test_a_wrong_word_is_seen(monkeypatch: pytest.MonkeyPatch):
    """Planted: blocks whose second and third words are exchanged."""

    def wrong(counter, key, multiply):
        w0, w1, w2, w3 = philox4x32(counter, key, multiply)
        return w0, w2, w1, w3

    monkeypatch.setattr(tile, "philox4x32", wrong)
    expected = flaxnoise.random.keep_mask(KEY, (1, 1, 3, 8), 0.3)
    assert any(
        (own[0, 0] != 0).tolist() != expected[0, 0].tolist() for own in weights((1, 3, 8, 1), 0.3)
    )


@pytest.mark.parametrize(
    ("dtype", "reason"),
    [(jnp.float16, "float32 and bfloat16, not float16"), (jnp.float64, "not float64")],
)
def test_refused_dtypes(dtype: Any, reason: str):
    attend = jax.jit(lambda q: flaxnoise.dot_product_attention(KEY, q, q, q, 0.3))
    with jax.enable_x64(True):
        q = jnp.ones((1, 3, 1, 8), dtype)
        with pytest.raises(NotImplementedError, match=reason):
            attend.lower(q)


def test_refused_platforms_and_meshes(monkeypatch: pytest.MonkeyPatch):
    attend = jax.jit(lambda q: flaxnoise.dot_product_attention(KEY, q, q, q, 0.3))
    q = jnp.ones((4, 3, 1, 8))
    mesh = jax.make_mesh((4,), ("data",), (AxisType.Auto,))
    with pytest.raises(NotImplementedError, match="cannot partition its kernel"):
        attend.lower(jax.device_put(q, NamedSharding(mesh, PartitionSpec("data"))))
    monkeypatch.setitem(choice.BACKENDS, "mosaic_tpu", MosaicTpu())
    with pytest.raises(NotImplementedError, match="it serves tpu, not cpu"):
        attend.lower(q + 1)
    text = attend.trace(q).lower(lowering_platforms=("tpu",)).as_text()
    assert text.count("tpu_custom_call") == 1
    with flaxnoise.backend("xla"):
        assert "tpu_custom_call" not in attend.trace(q).lower(lowering_platforms=("tpu",)).as_text()


def test_each_shard_of_an_explicit_mesh_draws_its_part():
    mesh = jax.make_mesh((2, 2), ("data", "heads"), (AxisType.Explicit,) * 2)
    q = normal(2, 9, 2, 8)
    attend = jax.jit(lambda q: flaxnoise.dot_product_attention(KEY, q, q, q, 0.3))
    expected = attend(q)
    with jax.sharding.set_mesh(mesh):
        spec = NamedSharding(mesh, PartitionSpec("data", None, "heads"))
        actual = attend(jax.device_put(q, spec))
    np.testing.assert_array_equal(actual, expected)
