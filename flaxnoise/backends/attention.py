"""The contract of attention kernels: ``AttentionCall`` describes a call, ``Kernel`` runs it.

A kernel is another implementation of the blockwise form in functional.attention. Arrays are those
of that form: q [B, T, N, D], k [B, S, K, D], v [B, S, K, Dv], bias [B|1, N|1, T|1, S|1] or None.
Kernels are opt-in: ``with flaxnoise.backend(name):``. Without a forced backend the blockwise form
serves every call.
"""

import dataclasses
from typing import Any, Protocol

import jax
from jax.core import ShapedArray

from flaxnoise.backends.contract import Sharding

Arrays = tuple[jax.Array, jax.Array, jax.Array, jax.Array | None]
Results = tuple[jax.Array, jax.Array, jax.Array]


@dataclasses.dataclass(frozen=True)
class AttentionCall:
    """What is known of a call when it is lowered.

    Attributes:
        plan: the static part of the call, a functional.attention.plan.Plan.
        arrays: types of (q, k, v, bias).
        given: types of the arrays without a gradient, in a functional.attention.plan.Given.
        batch: sizes of the dimensions that vmap has added, of any of the arrays.
        sharding: as in contract.Call.
        platform: jax's name of the platform; "several" in a program for more than one.
        exported: whether the program is exported.
        devices: devices that the program is compiled for; empty if jax does not pass them.
    """

    plan: Any
    arrays: tuple[ShapedArray, ShapedArray, ShapedArray, ShapedArray | None]
    given: Any
    batch: tuple[int, ...] = ()
    sharding: Sharding = "local"
    platform: str = "cpu"
    exported: bool = False
    devices: tuple[Any, ...] = ()


class Kernel(Protocol):
    """Both passes of attention, for one backend. The passes may be traced under vmap."""

    def refuses(self, call: AttentionCall) -> str | None:
        """Why the kernel does not support a call, or None; checks beyond those of ``refusal``."""
        ...

    def forward(self, plan: Any, arrays: Arrays, given: Any) -> Results:
        """(y, top, rest): y [B, T, N, Dv] in q's dtype; lse = top + rest, [B, T, N] each."""
        ...

    def backward(
        self,
        plan: Any,
        arrays: Arrays,
        given: Any,
        results: Results,
        cotangents: tuple[jax.Array, jax.Array],
    ) -> Results:
        """(dq, dk, dv) in the dtypes of q, k and v.

        Args:
            plan: plan of the call.
            arrays: arrays of the forward pass.
            given: further arrays of the forward pass.
            results: results of the forward pass.
            cotangents: those of y and of rest; that of top is 0.
        """
        ...
