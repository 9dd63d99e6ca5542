"""Attention by wgmma, interpreted: masks bit for bit, values and gradients against the jnp form.

The interpreter has no weights in registers as operands of wgmma, so there they pass through shared
memory, and it does not know layouts; what compiled code does with both is tested in tests/aot.
"""

import contextlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from every import every
from flaxnoise.backends.mosaic_gpu import attention_passes as passes
from flaxnoise.backends.mosaic_gpu import attention_tiles as tiles
from flaxnoise.functional.attention.blockwise import attend
from flaxnoise.functional.attention.plan import Given
from interpreted_attention import KERNEL, Masked, interpreted

pytestmark = pytest.mark.skipif(
    jax.__version_info__ < (0, 12), reason="Mosaic GPU of jax before 0.12 lacks what they need"
)
PAIRED = (1, 128, 1024, 1, 1)  # keys 512 apart in a tile
PADDED = (1, 70, 200, 1, 1)


CALLS = {
    "keys 512 apart": Masked(PAIRED),
    "heads that share keys": Masked((1, 64, 128, 2, 1)),
    "padded and causal": Masked(PADDED, causal=True),
    "odd rows, shared": Masked((2, 64, 77, 1, 1), shared=True),
    "a rate that needs all bits": Masked((1, 64, 1024, 1, 1), rate=1e-4),
    "a shard beyond 2^32": Masked(
        (1, 64, 1024, 1, 1), (5, 3, 1 << 20, 1024), (4, 1, (1 << 20) - 64, 0)
    ),
}


@every("name", CALLS)
def test_the_forward_pass_draws_the_mask_of_the_stream(name: str):
    call = CALLS[name]
    expected = call.expected()
    assert 0 < expected.mean() < 1
    np.testing.assert_array_equal(call.forward(), expected)


@every("name", ["keys 512 apart", "padded and causal"])
def test_the_backward_pass_draws_the_same_mask(name: str):
    call = CALLS[name]
    np.testing.assert_array_equal(call.query_gradient(), call.expected())
    np.testing.assert_array_equal(call.key_gradient(), call.expected())


@every("size, causal", [(64, True), (128, False)])
def test_values_and_gradients_are_those_of_the_jnp_form(size: int, causal: bool):
    """Within 2^-7 of the largest: weights, their gradients and results are rounded to bfloat16."""
    call = Masked((1, 70, 130, 2, 1), causal=causal)
    plan = call.plan._replace(scale=size**-0.5, backend="xla")
    given = call.given._replace(keep_scale=jnp.float32(1 / 0.7))
    rng = np.random.default_rng(size)
    b, t, s, n, kv = call.sizes
    q, k, v, dy = (
        jnp.asarray(rng.normal(size=(b, *own, size)), jnp.bfloat16)
        for own in ((t, n), (s, kv), (s, kv), (t, n))
    )
    drest = jnp.asarray(rng.normal(size=(b, t, n)), jnp.float32)

    def expected(*arrays: jax.Array) -> Any:
        return attend(plan, *arrays, None, given)

    floats = [x.astype(jnp.float32) for x in (q, k, v)]
    results, transposed = jax.vjp(expected, *floats)
    own = interpreted(KERNEL.forward, plan, (q, k, v, None), given)
    close(own[0], results[0])
    # The log-sum-exp is below 8: eight roundings, of scale, scores, exponents, sums and logarithm.
    np.testing.assert_allclose(own[1] + own[2], results[1] + results[2], rtol=0, atol=4e-6)
    cotangents = (dy.astype(jnp.float32), jnp.zeros_like(drest), drest)
    gradients = interpreted(KERNEL.backward, plan, (q, k, v, None), given, own, (dy, drest))
    for actual, wanted in zip(gradients, transposed(cotangents), strict=True):
        close(actual, wanted)


def close(actual: jax.Array, expected: jax.Array) -> None:
    assert actual.dtype == jnp.bfloat16
    error = np.max(abs(np.asarray(actual, np.float64) - np.asarray(expected, np.float64)))
    assert error <= 2**-7 * np.max(abs(np.asarray(expected))), error


def test_rate_0_draws_nothing():
    call = Masked((1, 64, 128, 1, 1))
    plan, (q, k, v) = call.plan._replace(drops=False), call.arrays(values=True)
    y, _, _ = interpreted(KERNEL.forward, plan, (q, k, v, None), Given())
    np.testing.assert_array_equal(np.asarray(y)[..., :16] * 128, 255)


def planted_halves(column: jax.Array) -> jax.Array:
    return (column & jnp.uint32(32)) == jnp.uint32(0)


def planted_words(shape: Any, column: jax.Array) -> jax.Array:
    """Keys in the order of the accumulator, which is not that of the arrays."""
    return column & jnp.uint32(31)


@every("name, defect", [("_is_second", planted_halves), ("_first_half_key", planted_words)])
def test_a_wrong_order_of_keys_is_seen(monkeypatch: pytest.MonkeyPatch, name: str, defect: Any):
    call = Masked((1, 64, 1024, 1, 1))
    with monkeypatch.context() as patch:
        patch.setattr(tiles, name, defect)
        assert np.mean(call.forward() != call.expected()) > 0.1


def test_a_tile_that_is_copied_too_early_is_seen(monkeypatch: pytest.MonkeyPatch):
    """Planted: the next tile is copied to the slot of the current one."""

    def over_tiles(first: Any, end: Any, fetch: Any, body: Any, carry: Any) -> Any:
        own = lambda j, slot: fetch(j, slot * 0)  # noqa: E731
        return original(first, end, own, lambda j, slot, c: body(j, slot * 0, c), carry)

    original = passes.over_tiles
    monkeypatch.setattr(passes, "over_tiles", over_tiles)
    call = Masked((1, 64, 256, 1, 1))
    with contextlib.suppress(RuntimeError, jax.errors.JaxRuntimeError):  # a race, if it sees it
        assert not np.array_equal(call.forward(), call.expected())
