"""The contract between lowering and backends: ``Call`` describes a call, ``Backend`` runs it."""

import dataclasses
import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeVar

import jax
import jax.numpy as jnp
from jax.core import ShapedArray

from flaxnoise.stream.kinds import KINDS, Kind
from flaxnoise.stream.sizes import are_known, broadcast_sizes, needs_64_bits

T = TypeVar("T")
Operands = Mapping[str, jax.Array]
Sharding = Literal["local", "explicit", "auto", "mixed"]

COEFFICIENTS = ("a", "b", "c", "d")
WORDS = ("key", "start")  # operands with batch dimensions and a dimension of words


@dataclasses.dataclass(frozen=True)
class Call:
    """What is known of a call of the primitive when it is lowered.

    Attributes:
        kind: the kind of noise.
        operands: names and types of the arrays; the names are those of affine.primitive.
        shape: dimensions of n, after the batch dimensions.
        global_shape: dimensions of the global array of which n is a shard, or n's own.
        dtype: dtype of the result.
        wide: whether linear indices may exceed 32 bits.
        sharding: "local" on one device, or if every mesh axis is manual; else "explicit" or
            "auto", by the type of the mesh axes; "mixed" if no kernel can run per shard.
        platform: jax's name of the platform; "several" in a program for more than one.
        exported: whether the program is exported.
        devices: devices that the program is compiled for; empty if jax does not pass them.
    """

    kind: Kind
    operands: tuple[tuple[str, ShapedArray], ...]
    shape: tuple[int, ...]
    global_shape: tuple[int, ...]
    dtype: jnp.dtype
    wide: bool
    sharding: Sharding = "local"
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
        """The call with these operands, given as arrays or as their types.

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
        """The same call with other operands."""
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
        """Shape of the result, batch dimensions included."""
        dims = [self.dims(name) for name in self.types if name not in WORDS]
        return self.batch + broadcast_sizes([self.shape, *dims])

    def dims(self, name: str) -> tuple[int, ...]:
        """Dimensions of an operand after its batch dimensions."""
        return self.types[name].shape[self.batch_rank :]

    @property
    def coefficients(self) -> tuple[str, ...]:
        """Names of the coefficients that are present."""
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
        """Whether an operand is absent, or is one number for each example of the batch."""
        return name not in self.types or set(self.dims(name)) <= {1}

    @property
    def is_by_rows(self) -> bool:
        """Whether x has n's dimensions, and each other operand is one number for each example."""
        numbers = all(self.is_number(name) for name in ("threshold", *COEFFICIENTS))
        return numbers and ("x" not in self.types or self.dims("x") == self.shape)

    @property
    def is_static(self) -> bool:
        """Whether all sizes are known."""
        return are_known((*self.shape, *(size for _, own in self.operands for size in own.shape)))

    @property
    def size(self) -> int:
        """Number of elements of n in one example."""
        return math.prod(self.shape)


class Backend(Protocol):
    """A way to compute a call.

    Attributes:
        platforms: jax's names of the supported platforms; empty for all.
        is_kernel: whether it is opaque to XLA, which then can neither partition nor fuse it.
        is_exportable: whether an exported program may contain it.
        is_in_place: whether it may write into an operand, and so must see where that comes from.
        needs_devices: whether its refusals depend on the devices.
    """

    platforms: tuple[str, ...] = ()
    is_kernel: bool = True
    is_exportable: bool = True
    is_in_place: bool = False
    needs_devices: bool = False

    def missing(self) -> str | None:
        """Why the backend is missing from this installation, or None."""
        return None

    def refuses(self, call: Call) -> str | None:
        """Why the backend does not support a call, or None; checks beyond those of ``refusal``."""
        del call
        return None

    def is_faster(self, call: Call) -> bool:
        """Whether a supported call should use the backend by default."""
        del call
        return True

    def attention(self) -> Any:
        """The backend's attention kernel, an ``attention.Kernel``, or None."""
        return None

    def run(self, call: Call, operands: Operands) -> jax.Array:
        """y = x·(a + b·n) + (c + d·n), in a shape that broadcasts to the call's result."""
        ...


def refusal(backend: Backend, call: Call) -> str | None:
    """Why a backend does not support a call, or None."""
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
    """The result of a backend, broadcast to the shape of the call's result."""
    with jax.enable_x64(True):  # lowering may run in 32-bit mode, even for 64-bit results
        return jnp.broadcast_to(backend.run(call, operands), call.result)


def named(names: Iterable[str], values: Iterable[T]) -> dict[str, T]:
    """Operands by name, of a primitive or a Pallas kernel, which take them in order."""
    return dict(zip(names, values, strict=True))


def needs_wide_index(
    operands: Mapping[str, Any], shape: Sequence[Any], global_shape: Sequence[Any] | None
) -> bool:
    """Whether linear indices may exceed 32 bits, as after a start without a global shape."""
    unbounded = "start" in operands and global_shape is None
    return unbounded or needs_64_bits(shape if global_shape is None else global_shape)


def known_kind(name: str) -> Kind:
    """The row of a kind of noise in the table.

    Raises:
        ValueError: there is no kind of that name.
    """
    if name not in KINDS:
        raise ValueError(f"flaxnoise: kind must be one of {', '.join(KINDS)}, got {name!r}.")
    return KINDS[name]


def _types(operands: Mapping[str, Any]) -> tuple[tuple[str, ShapedArray], ...]:
    return tuple((name, ShapedArray(v.shape, v.dtype)) for name, v in operands.items())
