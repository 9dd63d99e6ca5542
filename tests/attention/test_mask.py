"""The mask is keep_mask(key, (B, N, T, S), rate), bit for bit, in both passes, for all tiles.

Equal scores make every weight 1/S; with the identity as values, row t of the result is row t of
the weights, and the gradient of the values under an identity cotangent is their transpose.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flaxnoise
import reference
from attention_cases import KEY
from every import every
from meshes import available

QUICK = {"xla_backend_optimization_level": 0}  # each program runs once
P = jax.sharding.PartitionSpec


def weights(key, sizes, rate, **options) -> tuple[jax.Array, jax.Array]:
    """Returns the weights [B, N, T, S] of the forward and of the backward pass, by one program."""
    program = functools.partial(_weights, sizes=sizes, rate=rate, **options)
    return jax.jit(program, compiler_options=QUICK)(key)


def _weights(key, sizes, rate, **options) -> tuple[jax.Array, jax.Array]:
    b, t, s, n, k = sizes
    q, keys = jnp.zeros((b, t, n, 1)), jnp.zeros((b, s, k, 1))
    identity = jnp.broadcast_to(jnp.eye(s)[:, None], (b, s, k, s))
    dy = jnp.broadcast_to(jnp.eye(t)[:, None], (b, t, n, t))

    def of_values(values: jax.Array) -> jax.Array:
        return flaxnoise.dot_product_attention(key, q, keys, values, rate, **options)

    y = of_values(identity)
    # One query head at a time, since those of a group are summed in the gradient of the values.
    ys, pull = jax.vjp(of_values, jnp.zeros((b, s, k, t)))
    backward = [
        pull(jnp.where(jnp.arange(n)[:, None] == head, dy, 0).astype(ys.dtype))[0][
            :, :, head * k // n
        ]
        for head in range(n)
    ]
    return y.transpose(0, 2, 1, 3), jnp.stack(backward, 1).swapaxes(2, 3)


@pytest.mark.parametrize("backend", ["cpu", "xla"])
@every(
    ("sizes", "blocks"),
    [
        ((2, 33, 45, 4, 2), (16, 20)),
        ((2, 33, 45, 4, 2), None),
        ((1, 3, 1025, 2, 1), (2, 513)),
        ((1, 2, 2048, 1, 1), (1, 1024)),
        ((2, 5, 12, 2, 2), (5, 8)),
    ],
    ids=str,
)
def test_mask_of_both_passes(backend: str, sizes, blocks):
    b, t, s, n, _ = sizes
    expected = flaxnoise.random.keep_mask(KEY, (b, n, t, s), 0.3)
    with flaxnoise.backend(available(backend)):
        forward, backward = weights(KEY, sizes, 0.3, block_sizes=blocks)
    np.testing.assert_array_equal(forward != 0, expected)
    np.testing.assert_array_equal(backward != 0, expected)
    # 1/S and 1/P(keep) are rounded once each, and so are their product and the sum of ones.
    size = 1 / s / (1 - float(flaxnoise.random.realised_rate(0.3)))
    for kept in (forward[expected], backward[expected]):
        np.testing.assert_allclose(kept, size, rtol=4 * 2.0**-24)


def test_shared_mask():
    sizes = (2, 33, 45, 4, 2)
    expected = flaxnoise.random.keep_mask(KEY, (1, 1, 33, 45), 0.5)
    for own in weights(KEY, sizes, 0.5, block_sizes=(16, 20), broadcast_dropout=True):
        np.testing.assert_array_equal(own != 0, jnp.broadcast_to(expected, own.shape))


@every("rate", [2.0**-14, 0.9, 1 - 2.0**-14])
def test_mask_of_rare_rates(rate: float):
    """Rates whose thresholds depend on the low bits; all zeros is right if nothing is kept."""
    sizes = (1, 130, 700, 1, 1)
    expected = flaxnoise.random.keep_mask(KEY, (1, 1, 130, 700), rate)
    forward, _ = weights(KEY, sizes, rate, block_sizes=(64, 512))
    np.testing.assert_array_equal(forward != 0, expected)
    assert expected.any()
    assert not expected.all()


@pytest.mark.parametrize("backend", ["cpu", "xla"])
@every("s", [12, 10])
def test_mask_beyond_2_to_32(backend: str, s: int):
    """A shard of keys late in a long sequence: 64-bit indices, aligned and not."""
    shards, index, b, t, n = 1 << 27, (1 << 27) - 3, 1, 5, 2
    rows = np.arange(b * n * t, dtype=np.uint64).reshape(b, n, t, 1)
    i = rows * np.uint64(s * shards) + np.uint64(s * index) + np.arange(s, dtype=np.uint64)
    expected = reference.keep(reference.key_words(KEY), i, 0.3)
    with flaxnoise.backend(available(backend)):
        for own in weights(
            KEY, (b, t, s, n, 1), 0.3, key_value_shard=(index, shards), block_sizes=(2, 8)
        ):
            np.testing.assert_array_equal(own != 0, expected)


def test_typed_and_raw_keys_and_those_of_other_implementations():
    for key in (jax.random.PRNGKey(3), jax.random.key(3, impl="rbg")):
        expected = flaxnoise.random.keep_mask(key, (1, 2, 5, 7), 0.5)
        forward, _ = weights(key, (1, 5, 7, 2, 2), 0.5)
        np.testing.assert_array_equal(forward != 0, expected)
