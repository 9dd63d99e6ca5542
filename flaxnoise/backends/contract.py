"""What a backend is: what it is asked about a call of the primitive, and what it answers."""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import jax
import jax.numpy as jnp
from jax.core import ShapedArray

from flaxnoise.stream.kinds import KINDS, Kind
from flaxnoise.stream.sizes import are_known, broadcast_sizes, needs_64_bits

Operands = Mapping[str, jax.Array]
Sharding = Literal["whole", "explicit", "auto", "mixed"]

COEFFICIENTS = ("a", "b", "c", "d")
WORDS = ("key", "start")  # operands of batch dimensions and words, without n's dimensions


@dataclasses.dataclass(frozen=True)
class Call:
    """A call of the primitive, as far as its lowering knows it.

    Attributes:
        kind: which noise n is.
        operands: names and types of the arrays; the names are those of affine.primitive.
        shape: dimensions of n, after the batch dimensions.
        global_shape: dimensions of the array of which n is a part, or all.
        dtype: of the result.
        wide: whether linear indices may exceed 32 bits.
        sharding: "whole" on one device or where every mesh axis is manual; else who shards the
            arrays, "explicit" axes or "auto" ones; "mixed" where no kernel can run per shard.
        platform: jax's name of it; "several" in a program for more than one.
        exported: whether the program is exported.
        devices: that the program is for, where jax tells them.
    """

    kind: Kind
    operands: tuple[tuple[str, ShapedArray], ...]
    shape: tuple[int, ...]
    global_shape: tuple[int, ...]
    dtype: jnp.dtype
    wide: bool
    sharding: Sharding = "whole"
    platform: str = "cpu"
    exported: bool = False
    devices: tuple[Any, ...] = ()

    @classmethod
    def of(
        cls,
        operands: Mapping[str, Any],
        *,
        kind: str,
        shape: Sequence[int],
        dtype: jax.typing.DTypeLike,
        global_shape: Sequence[int] | None = None,
        wide: bool | None = None,
        **where: Any,
    ) -> "Call":
        """The call with these arrays, or types of arrays.

        Raises:
            ValueError: there is no such kind of noise.
        """
        if wide is None:
            wide = needs_wide_index(operands, shape, global_shape)
        return cls(
            kind=known_kind(kind),
            operands=_types(operands),
            shape=tuple(shape),
            global_shape=tuple(shape if global_shape is None else global_shape),
            dtype=jnp.dtype(dtype),
            wide=wide,
            **where,
        )

    def on(self, operands: Mapping[str, Any], **changes: Any) -> "Call":
        """The same with other operands."""
        return dataclasses.replace(self, operands=_types(operands), **changes)

    @functools.cached_property
    def types(self) -> dict[str, ShapedArray]:
        """The operands' types by name."""
        return dict(self.operands)

    @property
    def batch_rank(self) -> int:
        """Number of batch dimensions."""
        return len(self.types["key"].shape) - 1

    @functools.cached_property
    def batch(self) -> tuple[int, ...]:
        """Sizes of the batch dimensions."""
        return broadcast_sizes([own.shape[: self.batch_rank] for _, own in self.operands])

    @functools.cached_property
    def result(self) -> tuple[int, ...]:
        """Shape of the result."""
        dims = [self.dims(name) for name in self.types if name not in WORDS]
        return self.batch + broadcast_sizes([self.shape, *dims])

    def dims(self, name: str) -> tuple[int, ...]:
        """Dimensions of an operand after the batch's."""
        return self.types[name].shape[self.batch_rank :]

    @property
    def coefficients(self) -> tuple[str, ...]:
        """Names of those that are there."""
        return tuple(name for name in COEFFICIENTS if name in self.types)

    @property
    def has_x(self) -> bool:
        """Whether the result depends on x."""
        return "x" in self.types and bool({"a", "b"} & self.types.keys())

    @property
    def has_noise(self) -> bool:
        """Whether the result depends on n."""
        return not self.coefficients or bool({"b", "d"} & self.types.keys())

    def is_number(self, name: str) -> bool:
        """Whether an operand is absent, or one number for each example of the batch."""
        return name not in self.types or set(self.dims(name)) <= {1}

    @property
    def is_by_rows(self) -> bool:
        """Whether x has n's dimensions, and all else is one number for each example."""
        numbers = all(self.is_number(name) for name in ("threshold", *COEFFICIENTS))
        return numbers and ("x" not in self.types or self.dims("x") == self.shape)

    @property
    def is_static(self) -> bool:
        """Whether all sizes are known."""
        return are_known((*self.shape, *(size for _, own in self.operands for size in own.shape)))

    @property
    def size(self) -> int:
        """Elements of n in one example."""
        return math.prod(self.shape)


class Backend(Protocol):
    """A way to compute a call.

    Attributes:
        platforms: jax's names of those that it serves; empty for all.
        is_kernel: whether XLA cannot look into it, and so can neither partition nor fuse it.
        is_exportable: whether an exported program may contain it.
        is_in_place: whether it may write into an operand, so that it must see whose array that is.
        needs_devices: whether it depends on the devices if it refuses.
    """

    platforms: tuple[str, ...] = ()
    is_kernel: bool = True
    is_exportable: bool = True
    is_in_place: bool = False
    needs_devices: bool = False

    def missing(self) -> str | None:
        """Why it is not there in this installation, or None."""
        return None

    def refuses(self, call: Call) -> str | None:
        """Why it cannot serve a call, beyond what ``refusal`` says of all kernels, or None."""
        del call
        return None

    def is_faster(self, call: Call) -> bool:
        """Whether it is chosen unasked for a call that it can serve."""
        del call
        return True

    def run(self, call: Call, operands: Operands) -> jax.Array:
        """y = x·(a + b·n) + (c + d·n), of a shape that broadcasts to the call's result."""
        ...


def refusal(backend: Backend, call: Call) -> str | None:
    """Why a backend cannot serve a call, or None."""
    if backend.platforms and call.platform not in backend.platforms:
        return f"it serves {', '.join(backend.platforms)}, not {call.platform}."
    reason = backend.missing()
    if reason is not None:
        return reason
    if call.exported and not backend.is_exportable:
        return "exported programs must not depend on a library of this machine."
    if backend.is_kernel and call.sharding == "mixed":
        return "the compiler would partition the call, and cannot see into the kernel."
    if backend.is_kernel and not call.is_static:
        return "its dimensions must be known."
    return backend.refuses(call)


def result(backend: Backend, call: Call, operands: Operands) -> jax.Array:
    """What a backend computes, with the dimensions of every operand."""
    with jax.enable_x64(True):  # 64-bit results must not depend on the mode of the lowering
        return jnp.broadcast_to(backend.run(call, operands), call.result)


def needs_wide_index(
    operands: Mapping[str, Any], shape: Sequence[Any], global_shape: Sequence[Any] | None
) -> bool:
    """Whether linear indices may exceed 32 bits: a start without a global shape has no bound."""
    unbounded = "start" in operands and global_shape is None
    return unbounded or needs_64_bits(shape if global_shape is None else global_shape)


def known_kind(name: str) -> Kind:
    """The row of a kind of noise.

    Raises:
        ValueError: there is none of that name.
    """
    if name not in KINDS:
        raise ValueError(f"flaxnoise: kind must be one of {', '.join(KINDS)}, got {name!r}.")
    return KINDS[name]


def _types(operands: Mapping[str, Any]) -> tuple[tuple[str, ShapedArray], ...]:
    return tuple((name, ShapedArray(v.shape, v.dtype)) for name, v in operands.items())
