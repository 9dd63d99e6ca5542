"""Interprets a PTX kernel on the CPU, all threads at once in NumPy.

Supports the instructions that XLA and Mosaic emit for elementwise kernels, and raises for others.
Floats are computed as PTX defines: rounded to nearest even, one rounding for a fused multiply and
add, subnormals kept, one canonical NaN. ``sqrt.approx`` is rounded correctly, where a GPU may be
off by one unit in the last place.
"""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

Raw = NDArray[np.uint64]  # a register of every thread: its bits, the rest zero

TYPES = {
    **{f"{kind}{bits}": np.dtype(f"u{bits // 8}") for kind in "bu" for bits in (8, 16, 32, 64)},
    **{f"s{bits}": np.dtype(f"i{bits // 8}") for bits in (16, 32, 64)},
    "f16": np.dtype(np.float16),
    "bf16": np.dtype(jnp.bfloat16),
    "f32": np.dtype(np.float32),
    "pred": np.dtype("u1"),
}
NOTHING = ("bar.", "fence.", "griddepcontrol.", "bra", "ret", "ld.param", "pragma")
GUARD = 256  # bytes around each buffer, which must not be accessed


class Instruction(NamedTuple):
    """An instruction: its predicate, whether that is negated, the parts of its name, operands."""

    predicate: str | None
    negated: bool
    parts: tuple[str, ...]
    operands: tuple[str, ...]


def run(source: str, buffers: Sequence[NDArray], blocks: int) -> list[NDArray]:
    """Runs a kernel and returns its buffers.

    Args:
        source: PTX with one kernel.
        buffers: the parameters of the kernel, in order.
        blocks: the number of thread blocks of the one-dimensional grid.
    """
    return _Machine(source, buffers, blocks).run()


class _Machine:
    def __init__(self, source: str, buffers: Sequence[NDArray], blocks: int):
        self.code, self.labels = _parse(source)
        self.parameters = re.findall(r"^\s*\.param[^,\n]*?(\w+),?$", source, re.MULTILINE)
        if len(self.parameters) != len(buffers):
            raise ValueError(f"{self.parameters} need as many buffers, got {len(buffers)}")
        size = re.search(r"\.(?:req|max)ntid (\d+)", source)
        assert size, "no number of threads"
        number = np.arange(blocks * int(size[1]), dtype=np.uint64)
        self.registers: dict[str, Raw] = {
            "%tid.x": number % np.uint64(size[1]),
            "%ctaid.x": number // np.uint64(size[1]),
        }
        self.place = np.zeros(len(number), np.int64)  # of each thread, in the code
        self.layout, self.starts, end = buffers, [], GUARD
        for buffer in buffers:
            self.starts.append(end)
            end += -(-buffer.nbytes // GUARD) * GUARD + GUARD
        self.memory = np.zeros(end, np.uint8)
        self.open = np.zeros(end, np.bool_)
        for start, buffer in zip(self.starts, buffers, strict=True):
            self.memory[start : start + buffer.nbytes] = np.ravel(buffer).view(np.uint8)
            self.open[start : start + buffer.nbytes] = True

    def run(self) -> list[NDArray]:
        with np.errstate(all="ignore"):
            while np.any(self.place < len(self.code)):
                at = int(self.place.min())  # those behind run first, so that threads reconverge
                mask = self.place == at
                instruction = self.code[at]
                self.place[mask] = at + 1
                if instruction.predicate:
                    mask &= (self.registers[instruction.predicate] != 0) != instruction.negated
                self.execute(instruction, mask)
        return [
            self.memory[start : start + b.nbytes].view(b.dtype).reshape(b.shape)
            for start, b in zip(self.starts, self.layout, strict=True)
        ]

    def execute(self, instruction: Instruction, mask: NDArray[np.bool_]) -> None:
        name, operands = ".".join(instruction.parts), instruction.operands
        kind, *flags = instruction.parts
        if kind == "bra":
            self.place[mask] = self.labels[operands[0]]
        elif kind == "ret":
            self.place[mask] = len(self.code)
        elif name.startswith("ld.param"):
            start = self.starts[self.parameters.index(operands[1][1:-1])]
            self.write(operands[0], np.full(len(mask), start, np.uint64), mask)
        elif kind in ("ld", "st") and flags[0] == "global":
            self.access(kind, TYPES[flags[-1]], operands, mask)
        elif name == "elect.sync":
            self.write(operands[0].split("|")[1], (self.registers["%tid.x"] % 32 == 0) * 1, mask)
        elif name == "shfl.sync.idx.b32":
            lane = self.read(operands[1], "b32").reshape(-1, 32)[:, int(operands[2])]
            self.write(operands[0], np.repeat(lane, 32), mask)
        elif kind == "mov" and "{" in operands[0] + operands[1]:
            self.repack(operands, mask)
        elif not name.startswith(NOTHING):
            types = [flag for flag in flags if flag in TYPES]
            values = [
                self.read(operand, _type(kind, position) or types[-1])
                for position, operand in enumerate(operands[1:])
            ]
            self.write(operands[0], _raw(_compute(kind, flags, types, values)), mask)

    def read(self, operand: str, kind: str) -> NDArray:
        """Reads an operand in every thread, as the given type."""
        dtype = TYPES[kind]
        if operand.startswith("%"):
            return self.registers[operand].astype(f"u{dtype.itemsize}").view(dtype)
        bits = int(operand[2:], 16) if operand[:2] in ("0f", "0F") else int(operand.rstrip("U"), 0)
        raw = np.array([bits % 2 ** (8 * dtype.itemsize)], f"u{dtype.itemsize}")
        return np.broadcast_to(raw.view(dtype), len(self.place))

    def write(self, register: str, raw: NDArray, mask: NDArray[np.bool_]) -> None:
        if register != "_":
            before = self.registers.get(register, np.uint64(0))
            self.registers[register] = np.where(mask, raw.astype(np.uint64), before)

    def access(self, kind: str, dtype: np.dtype, operands: Sequence[str], mask: NDArray) -> None:
        """Loads or stores one element, or several contiguous ones."""
        address, value = operands[::-1] if kind == "ld" else operands
        base, _, offset = address.strip("[]").partition("+")
        first = self.registers[base].astype(np.int64) + int(offset or 0)
        names = _list(value)
        if np.any(first[mask] % (len(names) * dtype.itemsize)):
            raise ValueError(f"a thread's {kind} at {address} is not aligned")
        for number, name in enumerate(names):
            bytes_ = first[mask, None] + np.arange(dtype.itemsize) + number * dtype.itemsize
            if np.any((bytes_ < 0) | (bytes_ >= len(self.open))) or not np.all(self.open[bytes_]):
                raise IndexError(f"a thread's {kind} at {address} is out of bounds")
            if kind == "ld":
                raw = np.zeros(len(mask), np.uint64)
                raw[mask] = self.memory[bytes_].view(f"u{dtype.itemsize}")[:, 0]
                self.write(name, raw, mask)
            else:
                raw = self.read(name, f"b{8 * dtype.itemsize}")[mask]
                self.memory[bytes_] = raw[:, None].view(np.uint8)

    def repack(self, operands: Sequence[str], mask: NDArray[np.bool_]) -> None:
        """Executes mov between a register and its halves, the lower half first."""
        target, source = operands
        if "{" in target:
            names = _list(target)
            width = np.uint64({"%rd": 64, "%r": 32}[re.match(r"%[a-z]+", source)[0]] // len(names))
            whole = self.read(source, "b64")
            for i, name in enumerate(names):
                part = whole >> (np.uint64(i) * width)
                self.write(name, part & ((np.uint64(1) << width) - np.uint64(1)), mask)
        else:
            low, high = (self.read(name, "b64") for name in _list(source))
            width = np.uint64(32 if target.startswith("%rd") else 16)
            self.write(target, low | (high << width), mask)


def _parse(source: str) -> tuple[list[Instruction], dict[str, int]]:
    code: list[Instruction] = []
    labels: dict[str, int] = {}
    body = re.sub(r"//[^\n]*", "", source[source.index("{") :])
    for line in re.split(r"[;\n]", body):
        if found := re.match(r"\s*(\$\w+):", line):
            labels[found[1]] = len(code)
        elif found := re.match(r"\s*(?:@(!?)(%p\d+)\s+)?([a-z][\w.:]*)\s*(.*?)\s*$", line):
            operands = re.split(r",\s*(?![^{]*\})", found[4]) if found[4] else []
            parts = tuple(found[3].replace("::", ".").split("."))
            code.append(Instruction(found[2], found[1] == "!", parts, tuple(operands)))
    return code, labels


def _list(operand: str) -> list[str]:
    return [name.strip() for name in operand.strip("{}").split(",")]


def _type(kind: str, position: int) -> str | None:
    """Returns the type of an operand that differs from the instruction's: shifts, predicates."""
    if (kind, position) == ("selp", 2):
        return "pred"
    return "b32" if (kind, position) in (("shl", 1), ("shr", 1), ("shf", 2)) else None


def _raw(value: NDArray) -> Raw:
    if value.dtype.kind == "b":
        return value.astype(np.uint64)
    if value.dtype.kind == "f" or value.dtype == TYPES["bf16"]:
        bits = value.view(f"u{value.dtype.itemsize}")
        nan = (1 << (8 * value.dtype.itemsize - 1)) - 1
        return np.where(np.isnan(value), nan, bits).astype(np.uint64)
    return np.ascontiguousarray(value).view(f"u{value.dtype.itemsize}").astype(np.uint64)


def _fused(a: NDArray, b: NDArray, c: NDArray) -> NDArray:
    """Computes a·b + c with one rounding: an exact float64 product, a sum rounded to odd first."""
    product, c = a.astype(np.float64) * b.astype(np.float64), c.astype(np.float64)
    total = product + c
    part = total - product
    error = (product - (total - part)) + (c - part)
    even = (total.view(np.int64) & 1) == 0
    odd = np.nextafter(total, np.where(error > 0, np.inf, -np.inf))
    return np.where((error != 0) & even & np.isfinite(total), odd, total).astype(a.dtype)


def _product(flags: Sequence[str], a: NDArray, b: NDArray) -> NDArray:
    if "lo" in flags or a.dtype.kind not in "iu":
        return a * b
    bits = 8 * a.itemsize
    assert bits < 64, "a product of 128 bits"
    product = a.astype(f"{a.dtype.kind}{bits // 4}") * b.astype(f"{a.dtype.kind}{bits // 4}")
    return product if "wide" in flags else (product >> bits).astype(a.dtype)


def _shift_right(a: NDArray, by: NDArray) -> NDArray:
    """Shifts right; amounts are clamped to the width, which leaves the sign or zero."""
    last = 8 * a.itemsize - 1
    shifted = a >> np.minimum(by, last).astype(a.dtype)
    return np.where((by > last) & (a.dtype.kind == "u"), np.zeros_like(a), shifted)


def _field(a: NDArray, at: NDArray, width: NDArray) -> NDArray:
    assert a.dtype.kind == "u", "bfe that repeats a sign"
    return (a >> at) & ((np.uint32(1) << width) - np.uint32(1))


def _funnel(flags: Sequence[str], low: NDArray, high: NDArray, by: NDArray) -> NDArray:
    by = (by & 31).astype(np.uint64)
    both = low.astype(np.uint64) | (high.astype(np.uint64) << np.uint64(32))
    shift = np.uint64(32) - by if flags[0] == "l" else by
    return (both >> shift).astype(np.uint32)


def _permute(flags: Sequence[str], low: NDArray, high: NDArray, which: NDArray) -> NDArray:
    """Executes prmt, which selects four of eight bytes."""
    both = low.astype(np.uint64) | (high.astype(np.uint64) << np.uint64(32))
    result = np.zeros_like(both)
    for byte in range(4):
        chosen = (which.astype(np.uint64) >> np.uint64(4 * byte)) & np.uint64(15)
        assert np.all(chosen < 8), "prmt that replicates a sign"
        result |= ((both >> (chosen * np.uint64(8))) & np.uint64(255)) << np.uint64(8 * byte)
    return result.astype(np.uint32)


COMPUTE: dict[str, Callable[..., NDArray]] = {
    "mov": lambda flags, a: a,
    "cvta": lambda flags, a: a,
    "add": lambda flags, a, b: a + b,
    "sub": lambda flags, a, b: a - b,
    "mul": _product,
    "mad": lambda flags, a, b, c: a * b + c,
    "fma": lambda flags, a, b, c: _fused(a, b, c),
    "min": lambda flags, a, b: np.fmin(a, b),
    "max": lambda flags, a, b: np.fmax(a, b),
    "neg": lambda flags, a: -a,
    "abs": lambda flags, a: np.abs(a),
    "sqrt": lambda flags, a: np.sqrt(a),
    "and": lambda flags, a, b: a & b,
    "or": lambda flags, a, b: a | b,
    "xor": lambda flags, a, b: a ^ b,
    "not": lambda flags, a: a ^ 1 if flags[-1] == "pred" else ~a,
    "shl": lambda flags, a, by: np.where(by < 8 * a.itemsize, a << by.astype(a.dtype), 0),
    "shr": lambda flags, a, by: _shift_right(a, by),
    "shf": _funnel,
    "prmt": _permute,
    "bfe": lambda flags, a, at, width: _field(a, at, width),
    "selp": lambda flags, a, b, which: np.where(which != 0, a, b),
}
COMPARE = {"eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal}
COMPARE |= {"gt": np.greater, "ge": np.greater_equal, "neu": np.not_equal}


def _compute(
    kind: str, flags: Sequence[str], types: Sequence[str], values: Sequence[NDArray]
) -> NDArray:
    if kind == "setp":
        return COMPARE[flags[0]](*values)
    if kind == "cvt":
        (value,) = values
        return value.astype(TYPES[types[0]])
    return COMPUTE[kind](flags, *values)
