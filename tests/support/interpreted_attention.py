"""Attention by the kernels for GPUs in Pallas' interpreter, and masks read from their results.

With queries and keys of zeros all weights that a query sees are equal, and values that are powers
of two make a result the bits of the mask: feature d of a result has keys 8·d to 8·d + 7.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import reference
from flaxnoise.backends.mosaic_gpu.attention import MosaicGpuAttention
from flaxnoise.functional.attention.plan import Given, Plan
from interpreted_gpu import PARAMETERS, interpret_pallas_call, reset

KEY = (0xFFFFFFFF, 3, 0x80000000, 7)
SIZE = 128  # of a head: enough for 1024 keys
KERNEL = MosaicGpuAttention(PARAMETERS)


class Masked(NamedTuple):
    """A call of which the mask is drawn.

    Attributes:
        sizes: B, T, S, N, K.
        whole: shape of the global array of weights, or that of the call.
        origin: position of the call's first weight in it.
        rate: the dropout rate.
        causal: whether later keys are masked.
        shared: whether batch and heads share one mask.
    """

    sizes: tuple[int, int, int, int, int]
    whole: tuple[int, int, int, int] | None = None
    origin: tuple[int, int, int, int] | None = None
    rate: float = 0.3
    causal: bool = False
    shared: bool = False

    @property
    def plan(self) -> Plan:
        b, t, s, n, _ = self.sizes
        whole = self.whole or (b, n, t, s)
        return Plan(1.0, None, self.causal, None, True, self.shared, whole, None, "mosaic_gpu")

    @property
    def given(self) -> Given:
        """The arrays without a gradient, with a factor of 1 instead of 1/P(keep)."""
        threshold = jnp.uint32(reference.threshold(self.rate))
        origin = None if self.origin is None else jnp.uint32(self.origin)
        words = jnp.asarray(KEY, jnp.uint32)
        return Given(words=words, threshold=threshold, keep_scale=jnp.float32(1), origin=origin)

    @property
    def visible(self) -> np.ndarray:
        """bool[T, S]."""
        _, t, s, _, _ = self.sizes
        return np.tri(t, s, dtype=bool) if self.causal else np.ones((t, s), bool)

    def expected(self) -> np.ndarray:
        """The mask of the reference where a query sees a key, else False: bool[B, N, T, S]."""
        b, t, s, n, _ = self.sizes
        whole, first = self.plan.global_shape, self.origin or (0, 0, 0, 0)
        places = [
            i + np.uint64(o)
            for i, o in zip(np.indices((b, n, t, s), np.uint64), first, strict=True)
        ]
        if self.shared:
            places[:2] = [np.zeros_like(places[0])] * 2
        index = places[0]
        for place, size in zip(places[1:], whole[1:], strict=True):
            index = index * np.uint64(size) + place
        return reference.keep(KEY, index, self.rate) & self.visible

    def forward(self) -> np.ndarray:
        """The mask of the forward pass, bool[B, N, T, S]."""
        q, k, v = self.arrays(values=True)
        y, _, _ = interpreted(KERNEL.forward, self.plan, (q, k, v, None), self.given)
        numbers = np.asarray(y, np.float64) * self.visible.sum(1)[:, None, None]
        return _bits(numbers, self.sizes[2]).transpose(0, 2, 1, 3)

    def query_gradient(self) -> np.ndarray:
        """The mask in the gradient of queries: weights and their gradients are 1."""
        q, _, k = self.arrays(values=True)
        dq, _, _ = self._backward(q, k)
        return _bits(np.asarray(dq, np.float64), self.sizes[2]).transpose(0, 2, 1, 3)

    def key_gradient(self) -> np.ndarray:
        """The mask in the gradient of keys, of one head of queries per head of keys."""
        _, t, _, _, _ = self.sizes
        _, k, _ = self.arrays()
        q = jnp.broadcast_to(_powers(t)[None, :, None], self.arrays()[0].shape)
        _, dk, _ = self._backward(q, k)
        return _bits(np.asarray(dk, np.float64), t).transpose(0, 2, 3, 1)

    def arrays(self, *, values: bool = False) -> tuple[jax.Array, jax.Array, jax.Array]:
        """q, k and v of zeros; v of powers of two with ``values``."""
        b, t, s, n, kv = self.sizes
        q, k = (jnp.zeros((b, *own, SIZE), jnp.float16) for own in ((t, n), (s, kv)))
        return q, k, jnp.broadcast_to(_powers(s)[None, :, None], k.shape) if values else k

    def _backward(self, q: jax.Array, k: jax.Array) -> Any:
        """Gradients where q·k is 0, lse is 0 and dy·v is 1."""
        first = jnp.zeros(SIZE, q.dtype).at[0].set(1)
        dy, v = jnp.broadcast_to(first, q.shape), jnp.broadcast_to(first, k.shape)
        none = jnp.zeros(q.shape[:3], jnp.float32)
        results = jnp.zeros_like(q), none, none
        arguments = (self.plan, (q, k, v, None), self.given, results, (dy, none))
        return interpreted(KERNEL.backward, *arguments)


def interpreted(function: Callable[..., Any], plan: Plan, *arrays: Any) -> Any:
    """Runs a pass in the interpreter.

    Raises:
        RuntimeError: the interpreter detected a race.
    """
    reset()
    found = jax.block_until_ready(jax.jit(lambda *own: function(plan, *own))(*arrays))
    if interpret_pallas_call.get_races().races_found:  # fails if no kernel ran since the reset
        raise RuntimeError("a race: what the interpreter printed says where")
    return found


def _powers(length: int) -> jax.Array:
    """float16[length, SIZE]: row i has 2^(i mod 8) at i div 8."""
    i = np.arange(length)
    return jnp.asarray((i[:, None] // 8 == np.arange(SIZE)) * 2.0 ** (i % 8)[:, None], jnp.float16)


def _bits(numbers: np.ndarray, length: int) -> np.ndarray:
    """bool[…, length] of whole numbers […, SIZE], each of which has 8 bits."""
    whole = np.rint(numbers)
    assert np.max(abs(numbers - whole)) < 0.25  # float16 rounds numbers below 256 by 1/8 at most
    return (
        (whole.astype(int)[..., None] >> np.arange(8) & 1)
        .astype(bool)
        .reshape(*whole.shape[:-1], -1)[..., :length]
    )
