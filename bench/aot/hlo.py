"""Counts kernels, and the bytes that they read and write, from the optimised HLO of a program.

An instruction outside of fusions is one kernel, which reads its operands and writes its result
once. Where a fusion slices an operand, or updates a slice of it, the slice is counted. A loop
counts as often as it runs. Arrays in a TPU's vector memory are not counted.
"""

import math
import re
from typing import NamedTuple

_ON_CHIP = "S(1)"
_FREE = (
    *("parameter", "constant", "tuple", "get-tuple-element", "bitcast"),
    *("after-all", "partition-id", "replica-id"),
)
_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.-]+) \(.*?^\}", re.MULTILINE | re.DOTALL)
_INSTRUCTION = re.compile(r"\s*(?:ROOT )?%([\w.-]+) = (.*?) ([a-z][\w-]*)\((.*)")
_ARRAY = re.compile(r"\b([a-z]+\d*\w*)\[([\d,]*)\](\{[^}]*\})?")
_TIMES = re.compile(r'"known_trip_count":\{"n":"(\d+)"')


class Cost(NamedTuple):
    """What a program launches and moves, and what one pass of its innermost loops does.

    Attributes:
        kernels: launches.
        moved: bytes read and written.
        tile_kernels: launches in one pass of each innermost loop, summed over the loops.
        tile_moved: bytes that these read and write.
    """

    kernels: int = 0
    moved: int = 0
    tile_kernels: int = 0
    tile_moved: int = 0

    def plus(self, other: "Cost", times: int = 1) -> "Cost":
        """Adds a cost that occurs several times."""
        return Cost(
            self.kernels + times * other.kernels,
            self.moved + times * other.moved,
            self.tile_kernels + other.tile_kernels,
            self.tile_moved + other.tile_moved,
        )


class Instruction(NamedTuple):
    """One line of a computation: name, type of the result, operation, operands, attributes."""

    name: str
    result: str
    operation: str
    operands: tuple[str, ...]
    rest: str

    def called(self, how: str = "calls") -> str:
        found = re.search(rf"\b{how}=%?([\w.-]+)", self.rest)
        return found[1] if found else ""


Computations = dict[str, dict[str, Instruction]]


def cost(text: str) -> Cost:
    """The cost of a program, given the text of its optimised HLO.

    Raises:
        ValueError: a loop whose number of passes the compiler does not know.
    """
    computations: Computations = {}
    entry = ""
    for found in _COMPUTATION.finditer(text):
        own = [_parsed(line) for line in found[0].splitlines()[1:]]
        computations[found[2]] = {one.name: one for one in own if one is not None}
        entry = found[2] if found[1] else entry
    return _cost(computations[entry], computations)


def _cost(own: dict[str, Instruction], computations: Computations) -> Cost:
    total = Cost()
    for one in own.values():
        if one.operation == "while":
            total = _with_loop(total, one, computations)
        elif one.operation == "conditional":
            names = re.findall(r"%([\w.-]+)", re.findall(r"computations=\{(.*?)\}", one.rest)[0])
            total = total.plus(max(_cost(computations[name], computations) for name in names))
        elif one.operation == "call":
            total = total.plus(_cost(computations[one.called("to_apply")], computations))
        elif one.operation not in _FREE and not one.operation.endswith("-start"):
            moved = _moved(one, own, computations)
            total = total.plus(Cost(1, moved) if moved else Cost())
    return total


def _with_loop(total: Cost, one: Instruction, computations: Computations) -> Cost:
    body = _cost(computations[one.called("body")], computations)
    if not body.tile_kernels:
        body = body._replace(tile_kernels=body.kernels, tile_moved=body.moved)
    return total.plus(body, _passes(one, computations))


def _passes(one: Instruction, computations: Computations) -> int:
    """How often a loop runs: as XLA notes it, or the bound of the counter of jax's scan."""
    times = _TIMES.search(one.rest)
    if times:
        return int(times[1])
    condition = computations[one.called("condition")].values()
    bounds = [int(own.rest.split(")")[0]) for own in condition if own.operation == "constant"]
    if len(bounds) != 1:
        raise ValueError(f"the number of passes of {one.name} is not known")
    return bounds[0]


def _moved(one: Instruction, own: dict[str, Instruction], computations: Computations) -> int:
    """Bytes that a kernel reads and writes."""
    if one.operation.endswith("-done"):  # of an asynchronous copy
        return 2 * _size(one.result)
    read = [_size(own[name].result) for name in one.operands if name in own]
    written = _size(one.result)
    inside = computations.get(one.called(), {})
    for number, slices in _slices(inside).items():
        read[number] = min(read[number], slices)
    for update in inside.values():
        if update.operation == "dynamic-update-slice":
            whole, part = (_size(inside[name].result) for name in update.operands[:2])
            written -= max(whole - part, 0) if written >= whole else 0
    return sum(read) + written


def _slices(inside: dict[str, Instruction]) -> dict[int, int]:
    """Bytes that a fusion reads of those operands of which it reads slices alone."""
    found = {}
    for parameter in inside.values():
        if parameter.operation != "parameter":
            continue
        users = [user for user in inside.values() if parameter.name in user.operands]
        sizes = [_sliced(user, parameter.name) for user in users]
        if users and all(size is not None for size in sizes):
            found[int(parameter.rest.split(")")[0])] = sum(size or 0 for size in sizes)
    return found


def _sliced(user: Instruction, name: str) -> int | None:
    """Bytes of an operand that an instruction reads; None for all of them."""
    if user.operation in ("slice", "dynamic-slice", "gather"):
        return _size(user.result)
    if user.operation == "dynamic-update-slice" and user.operands[0] == name:
        return 0
    return None


def _parsed(line: str) -> Instruction | None:
    found = _INSTRUCTION.match(line)
    if found is None:
        return None
    name, result, operation, rest = found.groups()
    return Instruction(
        name, result, operation, tuple(re.findall(r"%([\w.-]+)", rest.split(")")[0])), rest
    )


def _size(result: str) -> int:
    """Bytes of an array, or of the arrays of a tuple."""
    return sum(
        math.prod(map(int, filter(None, sizes.split(",")))) * _itemsize(kind)
        for kind, sizes, layout in _ARRAY.findall(result)
        if _ON_CHIP not in layout
    )


def _itemsize(kind: str) -> int:
    if kind in ("token", "opaque"):
        return 0
    bits = re.search(r"\d+", kind)
    return max(int(bits[0]) // 8, 1) if bits else 1  # pred
