"""Cases of attention, and the reference: attention with materialised weights in float64."""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import flaxnoise
from cases import KEY


@dataclass(frozen=True, eq=False)
class Attention:
    """A call of attention.

    Attributes:
        sizes: B, T, S, N, K, D, Dv.
        rate: the dropout rate.
        blocks: numbers of queries and keys of a tile.
        dtype: the dtype of all arrays.
        options: keyword arguments of flaxnoise.dot_product_attention.
    """

    sizes: tuple[int, int, int, int, int, int, int] = (2, 33, 45, 4, 2, 16, 8)
    rate: float = 0.3
    blocks: tuple[int, int] | None = (16, 20)
    dtype: Any = jnp.float32
    options: dict[str, Any] = field(default_factory=dict)

    def arrays(self) -> tuple[jax.Array, ...]:
        """Returns query, key, value and, if the options give its shape, a bias."""
        b, t, s, n, k, d, dv = self.sizes
        shapes = [(b, t, n, d), (b, s, k, d), (b, s, k, dv)]
        shapes += [self.options["bias"]] if "bias" in self.options else []
        return tuple(normal(*shape, seed=i, dtype=self.dtype) for i, shape in enumerate(shapes))

    def ours(self, key: jax.Array, *arrays: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns (y, lse) of flaxnoise."""
        options = {name: own for name, own in self.options.items() if name != "bias"}
        options |= {"bias": arrays[3]} if len(arrays) == 4 else {}
        return flaxnoise.dot_product_attention(
            key,
            *arrays[:3],
            self.rate,
            return_residual=True,
            block_sizes=self.blocks,
            **options,
        )

    def keep(self, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns the mask and 1/P(keep)."""
        b, t, s, n, *_ = self.sizes
        shape = (1, 1, t, s) if self.options.get("broadcast_dropout") else (b, n, t, s)
        kept = 1 - np.float64(flaxnoise.random.realised_rate(self.rate))
        return flaxnoise.random.keep_mask(key, shape, self.rate), 1 / kept if kept else 0.0

    def visible(self) -> np.ndarray:
        """Returns which keys each query attends to, bool[B, N, T, S]."""
        b, t, s, n, *_ = self.sizes
        o = self.options
        row, column = np.arange(t)[:, None], np.arange(s)[None, :]
        seen = np.ones((b, n, t, s), bool)
        if "mask" in o:
            seen &= np.asarray(o["mask"])
        if o.get("is_causal"):
            seen &= column <= row
        if "local_window_size" in o:
            left, right = np.broadcast_to(o["local_window_size"], 2)
            seen &= (column >= row - left) & (column <= row + right)
        if "segment_ids" in o:
            mine, theirs = (np.asarray(own) for own in o["segment_ids"])
            seen &= (mine[:, :, None] == theirs[:, None, :])[:, None]
        if "query_seq_lengths" in o:
            seen &= row < np.asarray(o["query_seq_lengths"])[:, None, None, None]
        if "key_value_seq_lengths" in o:
            seen &= column < np.asarray(o["key_value_seq_lengths"])[:, None, None, None]
        return seen

    def exact(self, keep: Any, keep_scale: Any, *arrays: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns (y, lse) by softmax, dropout and a weighted sum, in float64 in 64-bit mode."""
        q, k, v = arrays[:3]
        groups = q.shape[2] // k.shape[2]
        k, v = (jnp.repeat(x, groups, axis=2) for x in (k, v))
        scale = self.options.get("scale", q.shape[-1] ** -0.5)
        s = jnp.einsum("btnd,bsnd->bnts", q, k) * scale
        if len(arrays) == 4:
            s = s + arrays[3]
        if cap := self.options.get("logits_soft_cap"):
            s = cap * jnp.tanh(s / cap)
        seen = self.visible()
        any_seen = seen.any(-1)
        top = jax.lax.stop_gradient(jnp.where(seen, s, -1e300).max(-1))
        top = jnp.where(any_seen, top, 0)
        p = jnp.where(seen, jnp.exp(jnp.where(seen, s, 0) - top[..., None]), 0)
        total = jnp.where(any_seen, p.sum(-1), 1)
        w = jnp.where(keep, p / total[..., None] * keep_scale, 0)
        lse = jnp.where(any_seen, top + jnp.log(total), -jnp.inf)
        return jnp.einsum("bnts,bsnd->btnd", w, v), lse.transpose(0, 2, 1)


def normal(*shape: int, seed: int = 0, dtype: Any = jnp.float32) -> jax.Array:
    """Returns fixed normals rounded to bfloat16, so that every dtype holds the same numbers."""
    values = np.random.default_rng(seed).normal(size=shape)
    return jnp.asarray(jnp.asarray(values, jnp.bfloat16), dtype)


__all__ = ["KEY", "Attention", "normal"]
