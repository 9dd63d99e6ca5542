"""Executes the PTX of attention kernels as ``ptx`` does, except for products and copies.

Tensor cores and asynchronous copies are not modelled: each product is an array of ones, and nothing
is copied. So a kernel computes weights that differ only by its masks, and these are read from the
left operands of the products: registers in the layout of wgmma, or shared memory.
"""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

import ptx

THREADS = 128
ONE = np.uint64(0x3F800000)
_WAIT = re.compile(r"\{\s*\.reg \.pred\s+P1;.*?DONE:\s*\}", re.DOTALL)
_SKIPPED = ("mbarrier", "cp", "prefetch", "fence", "bar")


class Attention(ptx._Machine):
    """A kernel with blocks in up to three dimensions.

    Attributes:
        operands: left operands of the products of each block, in order: uint16[64, 16] for 16
            columns from registers, uint16[64, 64] from shared memory.
        shared: bytes of shared memory of each block.
        stored: the least address of what was stored there since the last product.
    """

    def __init__(self, source: str, buffers: Sequence[NDArray], grid: tuple[int, int, int]):
        source = _WAIT.sub("", source).replace("__dynamic_shmem__0;\n", "0;\n", 1)
        source = re.sub(r"(mov\.b64\s+%rd\d+,) \w+_param_\d+", r"\1 0", source)
        source = re.sub(r"(mov\.b64\s+%rd\d+,) __dynamic_shmem__0", r"\1 0", source)
        blocks = int(np.prod(grid))
        super().__init__(source, buffers, blocks)
        number = self.registers["%ctaid.x"]
        for axis, size in zip("xyz", grid, strict=True):
            self.registers[f"%ctaid.{axis}"] = number % np.uint64(size)
            number = number // np.uint64(size)
        self.operands: list[list[NDArray]] = [[] for _ in range(blocks)]
        self.shared = np.zeros((blocks, 1 << 18), np.uint8)
        self.stored: int | None = None

    def execute(self, instruction: ptx.Instruction, mask: NDArray[np.bool_]) -> None:
        kind, *flags = instruction.parts
        operands = instruction.operands
        if kind == "wgmma":
            if flags[0] == "mma_async":
                self.multiply(operands, mask)
        elif kind == "stmatrix":
            self.store_matrices(operands, mask)
        elif kind == "shfl" and "bfly" in flags:
            lanes = self.read(operands[1], "b32").reshape(-1, 32)
            other = np.arange(32) ^ int(operands[2])
            self.write(operands[0].split("|")[0], lanes[:, other].reshape(-1), mask)
        elif kind in ("ld", "st") and flags[0] != "param" and flags[0] != "global":
            self.access(kind, ptx.TYPES[flags[-1]], operands, mask)
        elif kind == "ex2":
            self.write(operands[0], ptx._raw(np.exp2(self.read(operands[1], "f32"))), mask)
        elif kind == "div":
            a, b = (self.read(operand, "f32") for operand in operands[1:])
            self.write(operands[0], ptx._raw(a / b), mask)
        elif kind == "cvt" and "bf16x2" in flags:
            high, low = (
                self.read(operand, "f32").astype(ptx.TYPES["bf16"]).view(np.uint16)
                for operand in operands[1:]
            )
            self.write(operands[0], low | (high.astype(np.uint64) << np.uint64(16)), mask)
        elif kind == "setp" and "and" in flags:
            a, b = (self.read(operand, flags[-1]) for operand in operands[1:3])
            both = (a == b) & (self.registers[operands[3]] != 0)
            self.write(operands[0], both * np.uint64(1), mask)
        elif kind not in _SKIPPED:
            super().execute(instruction, mask)

    def multiply(self, operands: Sequence[str], mask: NDArray[np.bool_]) -> None:
        """Sets the accumulators to 1, and keeps a left operand that threads have computed."""
        for register in ptx._list(operands[0]):
            self.write(register, np.full(len(mask), ONE), mask)
        found = None
        if operands[1].startswith("{"):
            found = _fragment([self.read(name, "b32") for name in ptx._list(operands[1])])
        elif self.stored is not None:
            found, self.stored = self.tile(self.stored), None
        if found is not None:
            active = mask.reshape(-1, THREADS)
            assert np.array_equal(active.any(1), active.all(1)), "a product of some threads alone"
            for block in np.flatnonzero(active.any(1)):
                self.operands[block].append(found[block])

    def store_matrices(self, operands: Sequence[str], mask: NDArray[np.bool_]) -> None:
        """Stores four matrices of 8×8: lane 8·m + i has the address of row i of matrix m."""
        base, _, offset = operands[0].strip("[]").partition("+")
        address = self.read(base, "b32").astype(int) + int(offset or 0)
        parts = [self.read(name, "b32").reshape(-1, 4, 8, 4) for name in ptx._list(operands[1])]
        rows = np.stack(parts, axis=2).astype(np.uint32).reshape(len(self.shared), -1, 4)
        place = address.reshape(len(self.shared), -1, 1) + np.arange(16)
        block = np.arange(len(self.shared))[:, None, None]
        active = mask.reshape(-1, THREADS)[:, :, None]
        before = self.shared[block, place]
        after = np.ascontiguousarray(rows).view(np.uint8)
        self.shared[block, place] = np.where(active, after, before)
        first = int(address[mask].min())
        self.stored = first if self.stored is None else min(first, self.stored)

    def tile(self, start: int) -> NDArray:
        """uint16[blocks, 64, 64] in shared memory, in rows of 128 bytes that are swizzled."""
        row, column = np.indices((64, 64))
        at = start + row // 8 * 1024 + row % 8 * 128 + (column // 8 ^ row % 8) * 16 + column % 8 * 2
        return self.shared[:, at].astype(np.uint16) | self.shared[:, at + 1].astype(np.uint16) << 8


def _fragment(parts: Sequence[NDArray]) -> NDArray:
    """uint16[blocks, 64, 16] from the registers of a left operand of wgmma."""
    found = np.zeros((len(parts[0]) // THREADS, 64, 16), np.uint16)
    thread = np.arange(THREADS)
    for number, part in enumerate(parts):
        row = thread // 32 * 16 + thread % 32 // 4 + 8 * (number % 2)
        column = 2 * (thread % 4) + 8 * (number // 2)
        words = part.reshape(-1, THREADS).astype(np.uint32)
        found[:, row, column] = words & 0xFFFF
        found[:, row, column + 1] = words >> 16
    return found
